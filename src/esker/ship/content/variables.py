"""The variables of an image: those of `[vars]` and of the image's own table, and nothing of this machine.

What a value refers to is looked for in the image's own table. If it is there, the value is worked out now, and stands
in the image's configuration. If it is not, as for `$HOME`, or if only bash can expand the value, the script that a
container starts with sets the variable. The port of a service belongs to the machine that chose it: it does not enter,
and neither does a value that uses it. A hook's result never enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.activate.expansion import expanded, needs_bash
from esker.errors import ImageError
from esker.formats.references import references, vars_in_order
from esker.formats.secrets import secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["ESKERS", "Variable", "Variables", "image_variables"]


ESKERS = (
    "ESKER_RUNTIME_DIR",
    "FLOX_ENV",
    "FLOX_ENV_CACHE",
    "FLOX_ENV_DESCRIPTION",
    "FLOX_ENV_PROJECT",
)
"""The variables that say where the environment is; no declaration replaces them."""


class Variable(NamedTuple):
    """A variable of an image, and why it is there or is not."""

    name: str
    value: str
    why: str


class Variables(NamedTuple):
    """The variables of an image."""

    fixed: tuple[Variable, ...]
    """What the configuration holds, sorted by name."""
    scripted: tuple[Variable, ...]
    """What the start script sets, in its order, as `[vars]` has it."""
    left_out: tuple[Variable, ...]
    """What does not enter."""
    unset: tuple[str, ...] = ()
    """The names that the image's own table takes out, and that nothing sets."""
    of_services: tuple[Variable, ...] = ()
    """What the services get and nothing else does, sorted by name."""
    dropped: tuple[Variable, ...] = ()
    """Those of `left_out` that a base has."""


def image_variables(
    own: Mapping[str, tuple[str, str]],
    declared: Mapping[str, str],
    image: Mapping[str, str | None],
    ports: Collection[str],
    others: Collection[str] = (),
) -> Variables:
    """Return the variables of an image.

    `own` are Esker's, each with its value and why it is there. `declared` are those of `[vars]`, and `image` those of
    the image's own table, where None takes one out. `ports` are the variables that get ports, and `others` what
    else can be taken out. Raises ImageError, which
    names them, for values that look like secrets or replace what the environment needs.
    """
    _refuse_replaced({**declared, **image}, own)
    chosen = {name: value for name, value in {**declared, **image}.items() if value is not None}
    gone = {name for name in image if image[name] is None and name not in ("PATH", *ESKERS)}
    unset = sorted(gone - {*own, *declared, *ports, *others})
    left_out = [
        Variable(name, "", "nothing sets it" if name in unset else "taken out by [plugins.esker.image.vars]")
        for name in image
        if name in gone
    ]
    machines = {*ports}
    fixed = {name: Variable(name, value, why) for name, (value, why) in own.items() if name not in gone}
    scripted: dict[str, Variable] = {}
    for name, value in vars_in_order(chosen):
        origin = "[plugins.esker.image.vars]" if name in image else "[vars]"
        used = sorted(references(value) - {name})
        if port := next((each for each in used if each in machines), None):
            machines.add(name)
            left_out.append(Variable(name, "", f"it uses `{port}`, a port that each machine chooses"))
        elif taken := next((each for each in used if each in gone), None):
            gone.add(name)
            left_out.append(Variable(name, "", f"it uses `{taken}`, which is not in the image"))
        elif needs_bash(value):
            scripted[name] = Variable(name, value, f"{origin}: only bash can expand its value")
        elif outside := next((each for each in (*used, *_itself(name, value)) if each not in fixed), None):
            scripted[name] = Variable(name, value, f"{origin}: it uses `{outside}`, which a container sets")
        else:
            known = {each.name: each.value for each in fixed.values()}
            fixed[name] = Variable(name, expanded(value, known), origin)
            scripted.pop(name, None)
    left_out += [Variable(name, "", "a port that each machine chooses") for name in sorted(ports)]
    _refuse_secrets([*fixed.values(), *scripted.values()], own)
    return Variables(
        tuple(fixed[name] for name in sorted(fixed)),
        tuple(scripted.values()),
        tuple(sorted(left_out)),
        tuple(unset),
    )


def _itself(name: str, value: str) -> tuple[str, ...]:
    """Return the name if the value refers to what the variable was before."""
    return (name,) if name in references(value) else ()


def _refuse_replaced(declared: Mapping[str, str | None], own: Mapping[str, tuple[str, str]]) -> None:
    """Raise ImageError if a variable of Esker's is replaced, or PATH by one without the environment's programs."""
    for name, value in declared.items():
        if value is None or name not in own:
            continue
        if name == "PATH" and name not in references(value):
            raise ImageError(
                f"`PATH` is replaced by `{value}`, so that no program of the environment would be found",
                hint=f'put it before what is there: PATH = "{value}:$PATH"',
            )
        if name in ESKERS:
            raise ImageError(
                f"`{name}` says where the environment is in the image: it cannot be `{value}`",
                hint=f"give yours another name; or leave it out here: [plugins.esker.image.vars] {name} = false",
            )


def _refuse_secrets(variables: list[Variable], own: Mapping[str, tuple[str, str]]) -> None:
    declared = [each for each in variables if own.get(each.name) != (each.value, each.why)]
    refused = {each.name: why for each in declared if (why := secret(each.name, each.value))}
    if refused:
        listed = "; ".join(f"`{name}`: {why}" for name, why in sorted(refused.items()))
        first = min(refused)
        raise ImageError(
            f"variables look like secrets, which everybody could read in the image ({listed})",
            hint=f"give them to the container when it starts, and leave them out here: [plugins.esker.image.vars] "
            f"{first} = false",
        )
