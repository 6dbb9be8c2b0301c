"""Entering and leaving activations in any order, without losing what the caller changed in between.

The state has three parts: the active differences in their order, a base, and the given values. The base holds the
variables that the differences touch, as they would be without any difference. The given values are what we last set
these variables to.

If a variable differs from its given value, the caller has changed it, and the change belongs to the caller from then
on. If both values are lists, the elements that the caller added and removed go into the base. Otherwise the new value
becomes the base, and the active differences no longer touch the variable.

To leave, each variable of the leaving activation gets its base with the remaining differences applied. If nobody has
changed anything, the earlier text comes back byte for byte. Nothing here touches a process: every function returns
the new state and the changes to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.activate.difference import Activation, difference
from esker.activate.lists import LISTS, elements, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Changes = dict[str, str | None]
    """New values; None means that the variable is to be unset."""

__all__ = ["Edits", "enter", "extended", "leave"]


class Edits:
    """The state: the activations that are entered, oldest first, each under a key of its own; frozen."""

    __slots__ = ("base", "entries", "given")

    def __init__(
        self,
        base: Mapping[str, str | None] | None = None,
        given: Mapping[str, str | None] | None = None,
        entries: Iterable[tuple[str, Activation]] = (),
    ) -> None:
        self.base = dict(base or {})
        """The variables that the entries touch, with the values that they would have without any entry."""
        self.given = dict(given or {})
        """The same variables, with the values that we last gave them."""
        self.entries = tuple(entries)

    def record(self) -> dict[str, Any]:
        """Return the state in the form that is written as JSON."""
        return {
            "base": self.base,
            "given": self.given,
            "entries": [[key, activation.record()] for key, activation in self.entries],
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Edits:
        """Return the state that `record` returned this for."""
        entries = ((key, Activation(**activation)) for key, activation in record["entries"])
        return cls(record["base"], record["given"], entries)


def enter(edits: Edits, key: str, activation: Activation, environ: Mapping[str, str]) -> tuple[Edits, Changes]:
    """Enter an activation as the newest; return the new state and the variables to change."""
    edits = _absorbed(edits, environ)
    base, given = dict(edits.base), dict(edits.given)
    for name in activation.names():
        base.setdefault(name, environ.get(name))
        given[name] = activation.value(name, environ.get(name))
    changes = _changes(environ, {name: given[name] for name in activation.names()})
    return Edits(base, given, (*edits.entries, (key, activation))), changes


def leave(edits: Edits, key: str, environ: Mapping[str, str]) -> tuple[Edits, Changes]:
    """Leave the activation under a key, newest or not; return the new state and the variables to change."""
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


def extended(edits: Edits, names: Iterable[str], before: Mapping[str, str], environ: Mapping[str, str]) -> Edits:
    """Return the state after the newest activation has changed further variables itself, from `before` to `environ`.

    `names` are these variables.
    """
    edits = _absorbed(edits, before)
    *older, (key, newest) = edits.entries
    base, given, changed = dict(edits.base), dict(edits.given), set(names)
    changes = []
    for name in sorted(changed):
        base.setdefault(name, before.get(name))
        given[name] = environ.get(name)
        value = base[name]
        for _, activation in older:
            value = activation.value(name, value)
        changes.append(difference(_one(name, value), _one(name, given[name])))
    entry = Activation.joined((newest.without(changed), *changes))
    return Edits(base, given, (*older, (key, entry)))


def _one(name: str, value: str | None) -> dict[str, str]:
    return {} if value is None else {name: value}


def _changes(environ: Mapping[str, str], values: Mapping[str, str | None]) -> Changes:
    return {name: value for name, value in values.items() if environ.get(name) != value}


def _absorbed(edits: Edits, environ: Mapping[str, str]) -> Edits:
    """Return the state with the caller's changes since the last enter or leave taken into the base."""
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
    """Return the base of a list after the caller has changed the list from `given` to `now`."""
    # It is not enough to remove from `now` what the activations have added. Activations also hide elements of the base:
    # they remove some, and PATH keeps only one copy of several. Those elements must come back later. So we work out the
    # caller's edit as steps from `given` to `now`, and repeat the steps on the base.
    from difflib import SequenceMatcher

    parts, old, new = elements(name, base), elements(name, given), elements(name, now)
    own = frozenset(parts)
    inserted = []
    for _, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        # An element that only an activation has added stays the activation's, even if the caller has moved it.
        added = [part for part in new[new_start:new_end] if part in own or part not in old]
        if new[new_start:new_end] != old[start:end]:
            for index in range(start, end):
                _remove(parts, old, index, new)
            inserted.append((start, end, added))
    # All removals come before the insertions, because `_remove` counts copies and must not count inserted ones.
    for start, end, added in inserted:
        # What the caller added at the end of the list also goes behind the hidden elements.
        position = len(parts) if end == len(old) else _position(parts, old[:start])
        parts[position:position] = added
    return joined(name, parts) if parts or not now else None


def _remove(parts: list[str], old: list[str], index: int, new: list[str]) -> None:
    """Remove the element at `index` of `old` from `parts`.

    If `new` lacks the element, every copy goes. Otherwise one copy goes: the n-th in `parts` for the n-th in `old`.
    """
    element = old[index]
    if element not in new:
        parts[:] = [part for part in parts if part != element]
        return
    copies = [position for position, part in enumerate(parts) if part == element]
    rank = old[:index].count(element)
    if rank < len(copies):
        del parts[copies[rank]]


def _position(parts: list[str], before: list[str]) -> int:
    """Return the index in `parts` just behind the last element of `before` that `parts` contains, or 0 for none."""
    for index in range(len(before) - 1, -1, -1):
        copies = [position for position, part in enumerate(parts) if part == before[index]]
        if copies:
            return copies[min(before[:index].count(before[index]), len(copies) - 1)] + 1
    return 0
