"""What a shell remembers so that it can leave its environments: one exported variable, `_ESKER_UNDO`.

It holds the state of the module `edits` and, for each environment, its run link and the scripts to run when the shell
leaves it. The form is compressed JSON in base64. A shell that is started inside inherits the variable, so it can leave
the environments as well.
"""

from __future__ import annotations

import binascii
import os
import zlib

from esker.activate import edits as stack
from esker.activate.composition import is_active, is_started
from esker.activate.edits import Edits
from esker.activate.lists import ACTIVE_ENVIRONMENTS, LISTS, active_environments, dot_flox_of, edited, elements
from esker.formats import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from esker.activate.difference import Activation
    from esker.activate.edits import Changes
    from esker.activate.plan import Plan

__all__ = ["VARIABLE", "Departure", "enter", "entered", "leave", "memory", "with_profile"]

VARIABLE = "_ESKER_UNDO"
_TO_URLS, _FROM_URLS = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")
"""Between base64 and its form for URLs. The module `base64` would import regular expressions."""
_LARGEST = 16 << 20
"""Bytes of the JSON: compressed, it could take gigabytes."""
_LONGEST = 130_000
"""Linux gives no program a variable of more than 128 KiB: with one in its environment, a shell starts no program."""


class Departure:
    """What a shell has to do to leave one environment.

    `changes` are the variables to set, or to unset where they are None. `link` is the environment's run link, and
    `scripts` are those of `[profile.deactivate]`, by shell. `last` says whether no other environment remains. `prompt`
    is what profile scripts did to PS1 (`before`, `after`, and whether it was `exported`), or None if they did nothing.
    """

    __slots__ = ("changes", "dot_flox", "last", "link", "prompt", "scripts")

    def __init__(self, dot_flox: str, changes: Changes, end: Mapping[str, Any], *, last: bool) -> None:
        self.dot_flox = dot_flox
        self.changes = changes
        self.link: str = end["link"]
        self.scripts: dict[str, str] = end["scripts"]
        self.prompt: dict[str, Any] | None = end.get("prompt")
        self.last = last


def enter(
    plan: Plan,
    environ: Mapping[str, str],
    activate: Callable[[Mapping[str, str]], Activation],
    *,
    anew: bool = False,
    left: dict[str, str] | None = None,
) -> Changes:
    """Return every variable that a shell sets or unsets to activate a plan in place and to remember how to leave it.

    `activate` works out the activation in a given environment. If the plan is active already, in this shell or in one
    that it inherits from, it is not entered a second time, and stays behind the environments that were entered later.
    If the plan has changed since it was entered, or with `anew`, its earlier activation is undone first. What the shell
    takes over besides is put into `left`.

    Raises ActivationFailed if the variables are too large for a shell to remember how to leave them.
    """
    values, text = _entered(plan, environ, activate, anew=anew, left=left)
    if len(text) > _LONGEST:
        from esker.errors import ActivationFailed

        raise ActivationFailed(
            f"the variables of `{plan.name}` are too large to be undone when this shell leaves the environment",
            hint="open a shell of its own with `esker activate` at a terminal, or run `esker activate -- CMD`; or keep "
            "large texts in files, and let variables name the files",
        )
    return {**values, VARIABLE: text} if text else values


def memory(plan: Plan, environ: Mapping[str, str], activation: Activation) -> dict[str, str]:
    """Return the variable from which a shell that Esker starts, and shells inside it, can undo the activation.

    Return nothing if it would be too large for a variable: that shell ends, and has nothing to undo.
    """
    _, text = _entered(plan, environ, lambda _: activation)
    return {VARIABLE: text} if 0 < len(text) <= _LONGEST else {}


def _entered(
    plan: Plan,
    environ: Mapping[str, str],
    activate: Callable[[Mapping[str, str]], Activation],
    *,
    anew: bool = False,
    left: dict[str, str] | None = None,
) -> tuple[Changes, str]:
    """Return what `enter` does, with the value of `_ESKER_UNDO` apart, which is empty if there is nothing to undo."""
    edits, ends = _parsed(environ)
    key = plan.dot_flox
    repeated = not anew and is_started(plan, environ) and is_active(plan, environ)
    current = dict(environ)
    if key in dict(edits.entries) and not repeated:
        edits, changes = stack.leave(edits, key, current)
        current = _changed(current, changes)
    activation = activate(current)
    if left is not None:
        left.update(activation.left)
    names = activation.names()
    if repeated:
        changes = _changes_again(plan, activation, current)
        edits = Edits(
            edits.base,
            edits.given | {name: changes[name] for name in changes.keys() & edits.given.keys()},
            edits.entries,
        )
        names = frozenset(changes)
    else:
        edits, changes = stack.enter(edits, key, activation, current)
        ends[key] = {"link": plan.flox_env, "scripts": dict(plan.deactivate)}
    after = _changed(current, changes)
    differing = {name for name in environ.keys() | after.keys() if environ.get(name) != after.get(name)}
    values = {name: after.get(name) for name in sorted({*names, *differing, "PATH"})}
    return values, _rendered(edits, ends) if edits.entries else ""


def _changes_again(plan: Plan, activation: Activation, environ: Mapping[str, str]) -> Changes:
    """Return what changes when an environment that is active already is activated again.

    The newest environment gets all its values again. An older environment only gets its directories back, behind those
    of the newer ones: it is activated again because a start-up file such as ~/.bashrc does so in every shell, also in
    shells inside the newer environments.
    """
    active = [dot_flox_of(element) for element in active_environments(environ.get(ACTIVE_ENVIRONMENTS))]
    if active[0] == plan.dot_flox:
        return {name: activation.value(name, environ.get(name)) for name in activation.names()}
    links = environ.get("FLOX_ENV_DIRS", "").split(":")
    newer = links[: links.index(plan.flox_env)] if plan.flox_env in links else links[:1]
    changes: Changes = {}
    for name in ("PATH", "MANPATH", *sorted(activation.prepend)):
        here = elements(name, environ.get(name))
        own = [part for part in activation.prepend.get(name, ()) if part.startswith(f"{plan.flox_env}/")]
        front = [part.replace(plan.flox_env, link, 1) for link in newer for part in own]
        if name not in {"PATH", "MANPATH"}:
            front = [part for part in front if part in here]
        front += own
        if [part for part in here if part in front] != front:
            changes[name] = edited(name, environ.get(name), front)
    return changes


def with_profile(
    environ: Mapping[str, str],
    before: Mapping[str, str],
    names: Iterable[str],
    prompts: tuple[str | None, str | None],
) -> str | None:
    """Return the value of `_ESKER_UNDO` after the profile scripts of the newest environment have run.

    Leaving the environment then also undoes what the scripts have changed in the variables `names` since `before`.
    `prompts` are the values of PS1 before and now; PS1 was exported if `before` contains it. Return None if no
    environment is active, or if the value would be too large for a variable.
    """
    edits, ends = _parsed(environ)
    if not edits.entries:
        return None
    key = edits.entries[-1][0]
    changed = (name for name in names if environ.get(name) != before.get(name))
    edits = stack.extended(edits, changed, before, environ)
    if prompts[0] != prompts[1]:
        ends[key]["prompt"] = {"before": prompts[0], "after": prompts[1], "exported": "PS1" in before}
    text = _rendered(edits, ends)
    return text if len(text) <= _LONGEST else None


def entered(environ: Mapping[str, str]) -> list[str]:
    """Return the paths of `.flox` of the environments that can be left, the oldest first."""
    return [key for key, _ in _parsed(environ)[0].entries]


def leave(environ: Mapping[str, str], dot_flox: str | None = None) -> Departure | None:
    """Return how to leave an environment, by default the one that was activated last; None if it is not active."""
    edits, ends = _parsed(environ)
    if not edits.entries or not (dot_flox is None or dot_flox in dict(edits.entries)):
        return None
    key = edits.entries[-1][0] if dot_flox is None else dot_flox
    edits, changes = stack.leave(edits, key, environ)
    end = ends.pop(key)
    changes = dict(sorted(changes.items()))
    changes[VARIABLE] = _rendered(edits, ends) if edits.entries else None
    return Departure(key, changes, end, last=not edits.entries)


def _changed(environ: Mapping[str, str], changes: Changes) -> dict[str, str]:
    merged = {**environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _parsed(environ: Mapping[str, str]) -> tuple[Edits, dict[str, Any]]:
    """Return the state of `edits` and, by environment, its link, its scripts and what happened to the prompt."""
    if not environ.get(VARIABLE):
        return Edits(), {}
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(binascii.a2b_base64(environ.get(VARIABLE, "").translate(_FROM_URLS)), _LARGEST)
        record = json_text.parse(text.decode("ascii"))  # cut off, and so no JSON, if it was larger
        edits, ends = Edits.of(record["edits"]), record["ends"]
        _check(edits, ends)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error):
        return Edits(), {}  # the variable is not ours: we have nothing to undo
    return edits, ends


def _check(edits: Edits, ends: Mapping[str, Any]) -> None:
    """Raise an error unless the state is one that `_text` can have written, with everything that leaving needs."""
    texts: list[Any] = []
    for key, entry in edits.entries:
        lists = [*entry.prepend.items(), *entry.append.items(), *entry.remove.items()]
        names = {*entry.set, *entry.unset, *(name for name, _ in lists)}
        end = ends[key]
        prompt = end.get("prompt") or {"before": None, "after": None, "exported": False}
        if not (names <= edits.base.keys() & edits.given.keys() and {name for name, _ in lists} <= LISTS.keys()):
            raise ValueError(key)
        texts += [key, end["link"], *end["scripts"].values(), *entry.set.values(), *names]
        texts += [part for _, parts in lists for part in parts]
        texts += [text for text in (prompt["before"], prompt["after"]) if text is not None]
        if type(prompt["exported"]) is not bool:
            raise ValueError(key)
    texts += [text for text in (*edits.base.values(), *edits.given.values()) if text is not None]
    texts += [*edits.base, *ends]
    if edits.base.keys() != edits.given.keys() or any("\0" in text or not isinstance(text, str) for text in texts):
        raise ValueError(VARIABLE)
    for text in texts:
        os.fsencode(text)  # an error for what no variable can hold


def _rendered(edits: Edits, ends: Mapping[str, Any]) -> str:
    record = json_text.render({"edits": edits.record(), "ends": ends})
    text = binascii.b2a_base64(zlib.compress(record.encode("ascii")), newline=False)
    return text.decode("ascii").translate(_TO_URLS)
