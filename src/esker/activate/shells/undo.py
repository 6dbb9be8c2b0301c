"""What a shell that activated in place remembers in order to deactivate: one variable, which it exports.

`_ESKER_UNDO` holds the state of `edits`, with what each environment wants done at its end, as JSON, compressed, in
base 64. In an interactive shell that Esker started it holds `exit` instead: leaving means ending that shell.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING

from esker.activate import edits as stack
from esker.activate.edits import Edits
from esker.activate.lists import STARTS, elements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from esker.activate.difference import Activation
    from esker.activate.edits import Changes
    from esker.activate.plan import Plan

__all__ = ["EXIT", "VARIABLE", "Departure", "enter", "leave"]

VARIABLE = "_ESKER_UNDO"
EXIT = "exit"


class Departure:
    """One environment leaving a shell: its variables to change, link and scripts, and whether it was the last."""

    __slots__ = ("changes", "dot_flox", "last", "link", "scripts")

    def __init__(self, dot_flox: str, changes: Changes, link: str, scripts: Mapping[str, str], *, last: bool) -> None:
        self.dot_flox = dot_flox
        self.changes = changes
        self.link = link
        self.scripts = scripts
        self.last = last


def enter(plan: Plan, environ: Mapping[str, str], activate: Callable[[Mapping[str, str]], Activation]) -> Changes:
    """Return every variable that a shell sets or unsets to activate a plan in place, and to remember how to leave.

    `activate` works out the activation in an environment. One that is in place already is not entered twice; when it
    has changed since, it is left first.
    """
    edits, ends, outer = _state(environ)
    key = plan.dot_flox
    entered = key in dict(edits.entries)
    inherited = plan.identity in elements(STARTS, environ.get(STARTS))
    current = dict(environ)
    if entered and not inherited:
        edits, changes = stack.leave(edits, key, current)
        current = _changed(current, changes)
    activation = activate(current)
    if entered and inherited:
        changes = {name: activation.value(name, current.get(name)) for name in activation.names()}
        edits = Edits(
            edits.base,
            edits.given | {name: changes[name] for name in changes.keys() & edits.given.keys()},
            edits.entries,
        )
    else:
        edits, changes = stack.enter(edits, key, activation, current)
    after = _changed(current, changes)
    differing = {name for name in environ.keys() | after.keys() if environ.get(name) != after.get(name)}
    ends[key] = {"link": plan.flox_env, "scripts": dict(plan.deactivate)}
    values = {name: after.get(name) for name in sorted({*activation.names(), *differing, "PATH"})}
    return {**values, VARIABLE: _text(edits, ends, outer)}


def leave(environ: Mapping[str, str]) -> Departure | None:
    """Return how the environment that was activated in place last leaves the shell; None when there is none."""
    edits, ends, outer = _state(environ)
    if not edits.entries:
        return None
    key = edits.entries[-1][0]
    edits, changes = stack.leave(edits, key, environ)
    end = ends.pop(key)
    changes = dict(sorted(changes.items()))
    changes[VARIABLE] = _text(edits, ends, outer) if edits.entries else outer
    return Departure(key, changes, end["link"], end["scripts"], last=not edits.entries)


def _changed(environ: Mapping[str, str], changes: Changes) -> dict[str, str]:
    merged = {**environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _state(environ: Mapping[str, str]) -> tuple[Edits, dict[str, Any], str | None]:
    """Return the stack, what each environment wants at its end, and what the variable held before."""
    text = environ.get(VARIABLE)
    if text is None or text == EXIT:
        return Edits(), {}, text
    try:
        record = json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))
        return Edits.of(record["edits"]), record["ends"], record["outer"]
    except (ValueError, KeyError, TypeError, zlib.error):  # not ours: nothing is known to undo
        return Edits(), {}, None


def _text(edits: Edits, ends: Mapping[str, Any], outer: str | None) -> str:
    record = json.dumps({"edits": edits.record(), "ends": ends, "outer": outer}, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(record.encode("ascii"))).decode("ascii")
