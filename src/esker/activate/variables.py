"""What an activation changes: which variables it sets, unsets, and what it adds to those that are lists.

This module is on the path of every activation: it imports nothing heavier than json.
"""

from __future__ import annotations

import json

from esker.activate.expansion import expanded, needs_bash
from esker.errors import ActivationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from esker.activate.plan import Plan
    from esker.host.clock import Deadline

__all__ = [
    "LISTS",
    "STARTS",
    "Activation",
    "activation",
    "active_environments",
    "change",
    "composed",
    "difference",
    "dot_flox_of",
    "evaluated",
    "inherited",
    "is_active",
    "is_started",
    "left_out",
]

_ACTIVE = "_FLOX_ACTIVE_ENVIRONMENTS"
_PROMPT = "FLOX_PROMPT_ENVIRONMENTS"
STARTS = "_ESKER_STARTS"
"""Identities of the plans whose variables and hook this process has inherited, newest first."""

_COLON_LISTS = """
ACLOCAL_PATH CLASSPATH CMAKE_PREFIX_PATH CPATH CPLUS_INCLUDE_PATH C_INCLUDE_PATH DYLD_FALLBACK_LIBRARY_PATH
DYLD_LIBRARY_PATH FLOX_ENV_DIRS GI_TYPELIB_PATH GOPATH INFOPATH JUPYTER_PATH LD_LIBRARY_PATH LIBRARY_PATH LUA_PATH
MANPATH NODE_PATH OBJC_INCLUDE_PATH PATH PERL5LIB PKG_CONFIG_PATH PYTHONPATH QML2_IMPORT_PATH QT_PLUGIN_PATH RUBYLIB
TERMINFO_DIRS XDG_CONFIG_DIRS XDG_DATA_DIRS
"""
LISTS = dict.fromkeys(_COLON_LISTS.split(), ":")
"""The variables that are lists, with what stands between their elements; `[` is a JSON array."""
LISTS.update({STARTS: ":", _PROMPT: " ", _ACTIVE: "["})

_WITHOUT_DUPLICATES = frozenset({"PATH", "MANPATH"})
_MOST_CANDIDATES = 64


def elements(name: str, value: str | None) -> list[str]:
    """Return the elements of a list variable; absent and empty are the empty list."""
    if not value:
        return []
    if LISTS[name] != "[":
        return value.split(LISTS[name])
    return [json.dumps(element, separators=(",", ":")) for element in active_environments(value)]


def joined(name: str, parts: Iterable[str]) -> str:
    """Return a list variable's value."""
    return f"[{','.join(parts)}]" if LISTS[name] == "[" else LISTS[name].join(parts)


def active_environments(value: str | None) -> list[dict[str, Any]]:
    """Return the elements of `_FLOX_ACTIVE_ENVIRONMENTS`, newest first; none where it cannot be read."""
    try:
        found = json.loads(value) if value else []
    except ValueError:
        return []
    return [element for element in found if isinstance(element, dict)] if isinstance(found, list) else []


def edited(
    name: str,
    value: str | None,
    prepend: Sequence[str] = (),
    append: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> str:
    """Return a list variable with elements added and removed; one that is put in front is not left behind as well.

    Names in the prompt may repeat, because two environments may have one name.
    """
    kept = [element for element in elements(name, value) if element not in remove]
    if name != _PROMPT:
        kept = [element for element in kept if not element or element not in prepend]
    parts = [*prepend, *kept, *append]
    if name in _WITHOUT_DUPLICATES:
        parts = [part for index, part in enumerate(parts) if not part or part not in parts[:index]]
    return joined(name, parts)


class Activation:
    """A difference of variables, free of the environment it was worked out in; frozen.

    `prepend`, `append` and `remove` hold elements of the variables in `LISTS`.
    """

    __slots__ = ("append", "prepend", "remove", "set", "unset")

    def __init__(
        self,
        *,
        set: Mapping[str, str] | None = None,  # noqa: A002 - the words of `activate --json`
        unset: Iterable[str] = (),
        prepend: Mapping[str, Sequence[str]] | None = None,
        append: Mapping[str, Sequence[str]] | None = None,
        remove: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.set: dict[str, str] = dict(set or {})
        self.unset = tuple(unset)
        self.prepend = {name: tuple(parts) for name, parts in (prepend or {}).items() if parts}
        self.append = {name: tuple(parts) for name, parts in (append or {}).items() if parts}
        self.remove = {name: tuple(parts) for name, parts in (remove or {}).items() if parts}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash(json.dumps(self.record(), sort_keys=True))

    def __repr__(self) -> str:
        return f"Activation({self.record()!r})"

    def names(self) -> frozenset[str]:
        """Return every variable that this touches."""
        return frozenset((*self.set, *self.unset, *self.prepend, *self.append, *self.remove))

    def value(self, name: str, value: str | None) -> str | None:
        """Return what a variable that has `value` becomes; None is a variable that is not set."""
        if name in self.set:
            return self.set[name]
        if name in self.unset:
            return None
        parts = (self.prepend.get(name, ()), self.append.get(name, ()), self.remove.get(name, ()))
        return edited(name, value, *parts) if any(parts) else value

    def apply(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment after this activation."""
        after = dict(environ)
        for name in self.names():
            value = self.value(name, environ.get(name))
            if value is None:
                after.pop(name, None)
            else:
                after[name] = value
        return after

    def without(self, names: Iterable[str]) -> Activation:
        """Return this activation leaving some variables alone."""
        left = frozenset(names)
        return Activation(
            set={name: value for name, value in self.set.items() if name not in left},
            unset=(name for name in self.unset if name not in left),
            **{
                kind: {name: parts for name, parts in getattr(self, kind).items() if name not in left}
                for kind in ("prepend", "append", "remove")
            },
        )

    def record(self) -> dict[str, Any]:
        """Return the activation as JSON holds it; `remove` only where something is removed."""
        record: dict[str, Any] = {
            "set": self.set,
            "unset": list(self.unset),
            "prepend": {name: list(parts) for name, parts in self.prepend.items()},
            "append": {name: list(parts) for name, parts in self.append.items()},
        }
        if self.remove:
            record["remove"] = {name: list(parts) for name, parts in self.remove.items()}
        return record

    def published(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return the record for `activate --json`: only lists that are joined by colons are left as lists."""
        special = [name for name in self.names() if name not in self.set and LISTS.get(name, ":") != ":"]
        record = self.without(special).record()
        record["set"] |= {name: self.value(name, environ.get(name)) for name in special}
        return {**record, "set": dict(sorted(record["set"].items()))}


def difference(before: Mapping[str, str], after: Mapping[str, str], always: Iterable[str] = ()) -> Activation:
    """Return what leads from one environment to the other; `always` are set even where they are the same.

    A list variable is set whole only when no edit of its elements gives exactly the new value.
    """
    kinds: dict[str, dict[str, Sequence[str]]] = {"prepend": {}, "append": {}, "remove": {}}
    changed = {}
    for name, value in after.items():
        if before.get(name) == value:
            continue
        edit = _edit(name, before.get(name), value) if name in LISTS else None
        if edit is None:
            changed[name] = value
        else:
            for kind, parts in zip(kinds.values(), edit, strict=True):
                kind[name] = parts
    changed |= {name: after[name] for name in always if name in after and name not in LISTS}
    return Activation(set=changed, unset=(name for name in before if name not in after), **kinds)


def _edit(name: str, before: str | None, after: str) -> tuple[Sequence[str], Sequence[str], Sequence[str]] | None:
    old, new = elements(name, before), elements(name, after)
    common = [index for index, element in enumerate(new) if element in old]
    if common:
        append = new[common[-1] + 1 :]
    elif not old:
        append = [""] if new[1:] and not new[-1] else []
    else:
        return None
    first = common[0] if common else len(new) - len(append)
    remove = [element for element in old if element not in new]
    most = len(new) - len(append)
    for count in range(first, min(most, first + _MOST_CANDIDATES) + 1):
        parts = (new[:count], append, remove)
        if any(parts) and edited(name, before, *parts) == after:
            return parts
    return None


def activation(
    plan: Plan,
    environ: Mapping[str, str],
    *,
    runtime_directory: str,
    add_sbin: bool = False,
    start_services: bool = False,
    run_code: bool = True,
) -> Activation:
    """Return what activating a plan changes in an environment.

    The hook runs here, and bash for the values that need it, unless this plan's own variables and hook are already in
    `environ`: then they are inherited. Without `run_code` neither runs, and the values that need bash are left out.
    `runtime_directory` is the environment's; it need not exist.
    """
    base = composed(plan, environ, runtime_directory, add_sbin=add_sbin, start_services=start_services)
    if is_started(plan, environ):
        return change(plan, environ, inherited(plan, environ, base))
    return change(plan, environ, evaluated(plan, base, run_code=run_code), always=[name for name, _ in plan.vars])


def is_started(plan: Plan, environ: Mapping[str, str]) -> bool:
    """Return whether the plan's own variables and hook are in an environment already, inherited."""
    return plan.identity in elements(STARTS, environ.get(STARTS))


def inherited(
    plan: Plan, environ: Mapping[str, str], base: Mapping[str, str], made: Activation | None = None
) -> dict[str, str]:
    """Return a composed environment that leaves alone what the project's own variables and hook have decided before.

    `made` is what they changed; without it that is what those variables say that need no bash. What they put in front
    of the environment's own directories, and is still there, stays in front of them.
    """
    if made is None:
        made = difference(base, _cleaned(evaluated(plan, base, run_code=False)))
    after = dict(base)
    for name in made.names():
        if name not in made.prepend and name not in made.append and name not in made.remove:
            after.pop(name, None)
            after.update({name: environ[name]} if name in environ else {})
            continue
        here = elements(name, environ.get(name))
        front = [part for part in dict.fromkeys(made.prepend.get(name, ())) if part in here]
        gone = [part for part in made.remove.get(name, ()) if part not in here]
        after[name] = edited(name, after.get(name), front, remove=gone)
    return after


def evaluated(
    plan: Plan, base: Mapping[str, str], *, run_code: bool = True, deadline: Deadline | None = None
) -> dict[str, str]:
    """Return a composed environment with the project's own variables, after its hook, for which there is a deadline."""
    after, pending = _expanded(plan, dict(base), run_code=run_code)
    if run_code or not (pending or plan.hook):
        after[STARTS] = edited(STARTS, after.get(STARTS), [plan.identity])
    if run_code and (pending or plan.hook):
        from esker.activate import hook

        after = hook.run(after, values=pending, script=plan.hook or "", deadline=deadline)
    return after


def change(plan: Plan, environ: Mapping[str, str], after: Mapping[str, str], always: Iterable[str] = ()) -> Activation:
    """Return what leads to an environment that was composed and evaluated; `always` are set even where they were so."""
    return difference(environ, _cleaned(after), (*_fixed(plan), *always))


def _cleaned(after: Mapping[str, str]) -> dict[str, str]:
    return {name: edited(name, value) if name in _WITHOUT_DUPLICATES else value for name, value in after.items()}


def _fixed(plan: Plan) -> tuple[str, ...]:
    return (
        "FLOX_ENV",
        "FLOX_ENV_CACHE",
        "FLOX_ENV_DESCRIPTION",
        "FLOX_ENV_PROJECT",
        "FLOX_ACTIVATE_START_SERVICES",
        "ESKER_RUNTIME_DIR",
        *plan.ports,
    )


def composed(
    plan: Plan,
    environ: Mapping[str, str],
    runtime_directory: str,
    *,
    add_sbin: bool = False,
    start_services: bool = False,
) -> dict[str, str]:
    """Return the environment with everything but the project's own variables and hook."""
    root = plan.flox_env
    after = dict(environ)

    def put(name: str, *parts: str) -> None:
        after[name] = edited(name, after.get(name), [f"{root}/{part}" for part in parts])

    _push(plan, after)
    after["FLOX_ENV"] = root
    after["FLOX_ENV_CACHE"] = f"{plan.dot_flox}/cache"
    after["FLOX_ENV_PROJECT"] = plan.project
    after["FLOX_ENV_DESCRIPTION"] = plan.description
    after["FLOX_ACTIVATE_START_SERVICES"] = "true" if start_services else "false"
    after["ESKER_RUNTIME_DIR"] = runtime_directory
    after.setdefault("FLOX_PROMPT_COLOR_1", "99")
    after.setdefault("FLOX_PROMPT_COLOR_2", "141")
    if plan.certificates:
        after.setdefault("SSL_CERT_FILE", plan.certificates)
    put("PATH", "bin", *(("sbin",) if add_sbin else ()))
    put("MANPATH", "share/man")
    if not (after["MANPATH"].startswith(":") or after["MANPATH"].endswith(":") or "::" in after["MANPATH"]):
        after["MANPATH"] += ":"
    put("INFOPATH", "share/info")
    if not environ.get("INFOPATH"):
        after["INFOPATH"] += ":"
    put("XDG_DATA_DIRS", "share")
    if plan.mode == "dev":
        put("CPATH", "include")
        put("LIBRARY_PATH", "lib")
        put("PKG_CONFIG_PATH", "lib/pkgconfig", "share/pkgconfig")
        put("ACLOCAL_PATH", "share/aclocal")
    after.update((name, str(port)) for name, port in plan.ports.items())
    return after


def _push(plan: Plan, after: dict[str, str]) -> None:
    """Make the plan's the newest active environment; one that is active already is moved, not pushed again."""
    active = active_environments(after.get(_ACTIVE))
    own = {
        "environment": {"type": "dot-flox", "path": plan.dot_flox, "pointer": {"name": plan.name, "version": 1}},
        "mode": plan.mode,
    }
    others = [element for element in active if dot_flox_of(element) != plan.dot_flox]
    after[_ACTIVE] = json.dumps([own, *others], separators=(",", ":"))
    if len(others) == len(active):
        after[_PROMPT] = edited(_PROMPT, after.get(_PROMPT), [plan.name])
    after["FLOX_ENV_DIRS"] = edited("FLOX_ENV_DIRS", after.get("FLOX_ENV_DIRS"), [plan.flox_env])


def dot_flox_of(element: Mapping[str, Any]) -> str | None:
    """Return the `.flox` that an element of `_FLOX_ACTIVE_ENVIRONMENTS` names, in Flox's present or earlier form."""
    environment = element.get("environment", element)
    path = environment.get("path") if isinstance(environment, dict) else None
    return path if isinstance(path, str) else None


def is_active(plan: Plan, environ: Mapping[str, str]) -> bool:
    """Return whether an environment was activated in the process that has these variables, or in one above it."""
    return any(dot_flox_of(element) == plan.dot_flox for element in active_environments(environ.get(_ACTIVE)))


def left_out(plan: Plan, environ: Mapping[str, str]) -> list[str]:
    """Return what an activation that runs no code cannot know: the variables that need bash, and the hook."""
    if is_started(plan, environ):
        return []
    names = [name for name, _ in _expanded(plan, dict(environ), run_code=False)[1]]
    return [*names, "hook.on-activate"] if plan.hook else names


def _expanded(plan: Plan, after: dict[str, str], *, run_code: bool) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the environment with `[vars]`, and those left over: all from the first that needs bash.

    Without `run_code` those only that need it, or one that does.
    """
    pending: list[tuple[str, str]] = []
    for name, text in plan.vars:
        if "\0" in text:
            raise ActivationFailed(f"the value of `{name}` in `[vars]` holds a NUL character", hint="remove it")
        if needs_bash(text) or (pending and (run_code or _refers(text, pending))):
            pending.append((name, text))
        else:
            after[name] = expanded(text, after)
    return after, pending


def _refers(text: str, others: Iterable[tuple[str, str]]) -> bool:
    from esker.formats.references import references

    return not references(text).isdisjoint(name for name, _ in others)
