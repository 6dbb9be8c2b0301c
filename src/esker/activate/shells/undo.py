"""How a shell that was activated in place remembers what to undo: in one exported variable, `_ESKER_UNDO`.

It holds the state of `edits` and, for each environment, the link and the scripts to run when it is left. The form is
JSON, compressed, in base 64. In an interactive shell that Esker started it holds `exit` instead, because there
deactivating means ending the shell.
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
    """What a shell has to do to leave one environment.

    `changes` are the variables to set, or to unset where they are None. `last` says whether no other environment that
    was activated in place remains.
    """

    __slots__ = ("changes", "dot_flox", "last", "link", "scripts")

    def __init__(self, dot_flox: str, changes: Changes, link: str, scripts: Mapping[str, str], *, last: bool) -> None:
        self.dot_flox = dot_flox
        self.changes = changes
        self.link = link
        self.scripts = scripts
        self.last = last


def enter(
    plan: Plan,
    environ: Mapping[str, str],
    activate: Callable[[Mapping[str, str]], Activation],
    *,
    anew: bool = False,
) -> Changes:
    """Return every variable that a shell sets or unsets to activate a plan in place and to remember how to leave it.

    `activate` works out the activation in a given environment. A plan that is active in place already is not entered a
    second time. If the plan has changed since it was entered, or with `anew`, its earlier activation is undone first.
    """
    edits, ends, outer = _state(environ)
    key = plan.dot_flox
    entered = key in dict(edits.entries)
    inherited = not anew and plan.identity in elements(STARTS, environ.get(STARTS))
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
    """Return how to leave the environment that was activated in place last, or None if there is none."""
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
    """Return the edits, what to do when each environment is left, and the value of the variable before the first."""
    text = environ.get(VARIABLE)
    if text is None or text == EXIT:
        return Edits(), {}, text
    try:
        record = json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))
        return Edits.of(record["edits"]), record["ends"], record["outer"]
    except (ValueError, KeyError, TypeError, zlib.error):  # the variable is not ours: we have nothing to undo
        return Edits(), {}, None


def _text(edits: Edits, ends: Mapping[str, Any], outer: str | None) -> str:
    record = json.dumps({"edits": edits.record(), "ends": ends, "outer": outer}, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(record.encode("ascii"))).decode("ascii")
