"""Entering and leaving activations in any order, without losing what the caller changed in between.

The state is an ordered list of differences over a base, which is what the variables they touch would be without them,
and what each of these variables was last given. A variable that is no longer what it was given was changed by the
caller, and that is the caller's own from then on: in a list the elements that were added and removed go into the base;
any other change goes there whole, and the differences that are active give the variable up. Leaving gives each
variable of the leaver its base and the remaining differences; where nobody changed anything the saved text comes back
byte for byte. Nothing here touches a process: every function returns the new state and the changes to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.activate.difference import Activation
from esker.activate.lists import LISTS, elements, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Changes = dict[str, str | None]
    """New values; None means that the variable is to be unset."""

__all__ = ["Edits", "enter", "leave"]


class Edits:
    """The activations that are entered, oldest first, each under a key of its own; frozen."""

    __slots__ = ("base", "entries", "given")

    def __init__(
        self,
        base: Mapping[str, str | None] | None = None,
        given: Mapping[str, str | None] | None = None,
        entries: Iterable[tuple[str, Activation]] = (),
    ) -> None:
        self.base = dict(base or {})
        """The variables that any entry touches, as they would be without the entries."""
        self.given = dict(given or {})
        """The same variables as they were left the last time."""
        self.entries = tuple(entries)

    def record(self) -> dict[str, Any]:
        """Return the state as JSON holds it."""
        return {
            "base": self.base,
            "given": self.given,
            "entries": [[key, activation.record()] for key, activation in self.entries],
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Edits:
        """Return the state that a record holds."""
        entries = ((key, Activation(**activation)) for key, activation in record["entries"])
        return cls(record["base"], record["given"], entries)


def enter(edits: Edits, key: str, activation: Activation, environ: Mapping[str, str]) -> tuple[Edits, Changes]:
    """Put an activation on top of an environment."""
    edits = _absorbed(edits, environ)
    base, given = dict(edits.base), dict(edits.given)
    for name in activation.names():
        base.setdefault(name, environ.get(name))
        given[name] = activation.value(name, environ.get(name))
    changes = _changes(environ, {name: given[name] for name in activation.names()})
    return Edits(base, given, (*edits.entries, (key, activation))), changes


def leave(edits: Edits, key: str, environ: Mapping[str, str]) -> tuple[Edits, Changes]:
    """Take the activation under a key out of an environment, wherever it stands."""
    edits = _absorbed(edits, environ)
    leaver = dict(edits.entries)[key]
    remaining = [(other, activation) for other, activation in edits.entries if other != key]
    values = {}
    for name in leaver.names():
        value = edits.base[name]
        for _, activation in remaining:
            value = activation.value(name, value)
        values[name] = value
    touched = {name for _, activation in remaining for name in activation.names()}
    base = {name: value for name, value in edits.base.items() if name in touched}
    given = {name: values.get(name, edits.given[name]) for name in base}
    return Edits(base, given, remaining), _changes(environ, values)


def _changes(environ: Mapping[str, str], values: Mapping[str, str | None]) -> Changes:
    return {name: value for name, value in values.items() if environ.get(name) != value}


def _absorbed(edits: Edits, environ: Mapping[str, str]) -> Edits:
    """Return the state with all that the caller has changed since then in the base."""
    changed = {name: environ.get(name) for name, value in edits.given.items() if environ.get(name) != value}
    base, given_up = dict(edits.base), set()
    for name, now in changed.items():
        given = edits.given[name]
        if given is None or now is None or not _is_list(name, now):
            base[name] = now
            given_up.add(name)
        else:
            base[name] = _with_changes(name, base[name], given, now)
    entries = ((key, activation.without(given_up)) for key, activation in edits.entries)
    return Edits(base, edits.given | changed, entries)


def _is_list(name: str, value: str) -> bool:
    return name in LISTS and (not value or joined(name, elements(name, value)) == value)


def _with_changes(name: str, base: str | None, given: str, now: str) -> str | None:
    """Return the base with what the caller has done to a list that was `given` and is something else `now`."""
    # The base is not `now` without what the activations have added. They also hide elements of the base, by removing
    # them or because PATH shows one copy of several, and those must come back. So the caller's edit is worked out as
    # steps from `given` to `now`, and the steps are repeated on the base.
    from difflib import SequenceMatcher

    parts, old, new = elements(name, base), elements(name, given), elements(name, now)
    own = frozenset(parts)
    inserted = []
    for _, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        # An element that only an activation brought stays the activation's, wherever it was moved.
        added = [part for part in new[new_start:new_end] if part in own or part not in old]
        if new[new_start:new_end] != old[start:end]:
            for index in range(start, end):
                _remove(parts, old, index, new)
            inserted.append((start, end, added))
    # All removals come first, because `_remove` counts copies, and an element just inserted is none that was there.
    for start, end, added in inserted:
        # What was added at the end belongs behind the elements that are hidden, too.
        place = len(parts) if end == len(old) else _place(parts, old[:start])
        parts[place:place] = added
    return joined(name, parts) if parts or not now else None


def _remove(parts: list[str], old: list[str], index: int, new: list[str]) -> None:
    """Remove an element of `old` from `parts`: every copy when `new` has none, else the one of the same rank."""
    element = old[index]
    if element not in new:
        parts[:] = [part for part in parts if part != element]
        return
    copies = [place for place, part in enumerate(parts) if part == element]
    rank = old[:index].count(element)
    if rank < len(copies):
        del parts[copies[rank]]


def _place(parts: list[str], before: list[str]) -> int:
    """Return the place in `parts` behind the nearest of the elements `before` that it has."""
    for index in range(len(before) - 1, -1, -1):
        copies = [place for place, part in enumerate(parts) if part == before[index]]
        if copies:
            return copies[min(before[:index].count(before[index]), len(copies) - 1)] + 1
    return 0
