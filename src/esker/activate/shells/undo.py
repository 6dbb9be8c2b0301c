"""How a shell that was activated remembers what to undo: in one exported variable, `_ESKER_UNDO`.

It holds the state of `edits` and, for each environment, the link and the scripts to run when it is left. The form is
JSON, compressed, in base 64. A shell that was started inside inherits it, and can undo the same there.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import TYPE_CHECKING

from esker.activate import edits as stack
from esker.activate.composition import is_active, is_started
from esker.activate.edits import Edits
from esker.activate.lists import ACTIVE_ENVIRONMENTS, LISTS, active_environments, dot_flox_of, edited, elements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from esker.activate.difference import Activation
    from esker.activate.edits import Changes
    from esker.activate.plan import Plan

__all__ = ["VARIABLE", "Departure", "enter", "leave", "with_profile"]

VARIABLE = "_ESKER_UNDO"
_LARGEST = 16 << 20
"""Bytes of the JSON: compressed, it could take gigabytes."""


class Departure:
    """What a shell has to do to leave one environment.

    `changes` are the variables to set, or to unset where they are None. `last` says whether no other environment
    remains. `prompt` is what `with_profile` was told, or None.
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
) -> Changes:
    """Return every variable that a shell sets or unsets to activate a plan in place and to remember how to leave it.

    `activate` works out the activation in a given environment. A plan that is active already, in this shell or around
    it, is not entered a second time, and stays behind the environments that were entered after it. If the plan has
    changed since it was entered, or with `anew`, its earlier activation is undone first.
    """
    edits, ends = _state(environ)
    key = plan.dot_flox
    repeated = not anew and is_started(plan, environ) and is_active(plan, environ)
    current = dict(environ)
    if key in dict(edits.entries) and not repeated:
        edits, changes = stack.leave(edits, key, current)
        current = _changed(current, changes)
    activation = activate(current)
    names = activation.names()
    if repeated:
        changes = _again(plan, activation, current)
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
    return {**values, VARIABLE: _text(edits, ends)} if edits.entries else values


def _again(plan: Plan, activation: Activation, environ: Mapping[str, str]) -> Changes:
    """Return what changes when an environment that is active already is activated again.

    The newest environment gets all its values again. An older one only gets its directories back, behind those of the
    newer ones: such an activation stands in a start-up file, which every shell inside the newer ones reads too.
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
        wanted = [part.replace(plan.flox_env, link, 1) for link in newer for part in own]
        if name not in {"PATH", "MANPATH"}:
            wanted = [part for part in wanted if part in here]
        wanted += own
        if [part for part in here if part in wanted] != wanted:
            changes[name] = edited(name, environ.get(name), wanted)
    return changes


def with_profile(
    environ: Mapping[str, str],
    before: Mapping[str, str],
    names: Iterable[str],
    prompts: tuple[str | None, str | None],
) -> str | None:
    """Return the new value of the variable after the profile scripts of the newest environment have run.

    What they have changed in the variables `names` since `before` is undone together with the environment. `prompts`
    are the values of PS1 before and now; it was exported if `before` contains it. Return None if there is nothing to
    undo.
    """
    edits, ends = _state(environ)
    if not edits.entries:
        return None
    key = edits.entries[-1][0]
    changed = (name for name in names if environ.get(name) != before.get(name))
    edits = stack.extended(edits, changed, before, environ)
    if prompts[0] != prompts[1]:
        ends[key]["prompt"] = {"before": prompts[0], "after": prompts[1], "exported": "PS1" in before}
    return _text(edits, ends)


def leave(environ: Mapping[str, str]) -> Departure | None:
    """Return how to leave the environment that was activated last, or None if there is none."""
    edits, ends = _state(environ)
    if not edits.entries:
        return None
    key = edits.entries[-1][0]
    edits, changes = stack.leave(edits, key, environ)
    end = ends.pop(key)
    changes = dict(sorted(changes.items()))
    changes[VARIABLE] = _text(edits, ends) if edits.entries else None
    return Departure(key, changes, end, last=not edits.entries)


def _changed(environ: Mapping[str, str], changes: Changes) -> dict[str, str]:
    merged = {**environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _state(environ: Mapping[str, str]) -> tuple[Edits, dict[str, Any]]:
    """Return the edits, and what to do when each environment is left."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.urlsafe_b64decode(environ.get(VARIABLE, "")), _LARGEST)
        record = json.loads(text)  # cut off, and so no JSON, if it was larger
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


def _text(edits: Edits, ends: Mapping[str, Any]) -> str:
    record = json.dumps({"edits": edits.record(), "ends": ends}, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(record.encode("ascii"))).decode("ascii")
