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

from esker.activate.difference import Activation, difference
from esker.activate.lists import LISTS, elements, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    Changes = dict[str, str | None]
    """New values; None means that the variable is to be unset."""

__all__ = ["Edits", "enter", "extended", "leave"]

_MOST_PAIRS = 250_000
"""Pairs of elements that are compared to find out what a caller has changed in a list: 500 by 500."""


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
    parts, old, new = elements(name, base), elements(name, given), elements(name, now)
    own, earlier = frozenset(parts), frozenset(old)
    inserted, gone = [], set[int]()
    for start, end, new_start, new_end in _steps(old, new):
        # An element that only an activation has added stays the activation's, even if the caller has moved it.
        added = [part for part in new[new_start:new_end] if part in own or part not in earlier]
        gone.update(range(start, end))
        inserted.append((start, end, added))
    # All removals come before the insertions, because `_without` counts copies and must not count inserted ones.
    parts = _without(parts, old, gone, new)
    for start, end, added in inserted:
        # What the caller added at the end of the list also goes behind the hidden elements.
        position = len(parts) if end == len(old) else _position(parts, old[:start])
        parts[position:position] = added
    return joined(name, parts) if parts or not now else None


def _steps(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the steps from `old` to `new`: each replaces the elements from an index to another by those of `new`.

    What lists of thousands of elements do not share at their ends is replaced in one step: to find shorter steps takes
    quadratic time.
    """
    from difflib import SequenceMatcher

    start, shortest = 0, min(len(old), len(new))
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    if len(before) * len(after) > _MOST_PAIRS:
        yield start, len(old) - end, start, len(new) - end
        return
    for kind, *indices in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            old_start, old_end, new_start, new_end = (start + index for index in indices)
            yield old_start, old_end, new_start, new_end


def _without(parts: list[str], old: list[str], gone: set[int], new: list[str]) -> list[str]:
    """Return `parts` without the elements at the indices `gone` of `old`.

    If `new` lacks such an element, every copy goes. Otherwise one copy goes: the n-th in `parts` for the n-th in `old`.
    """
    from collections import Counter

    kept, seen = frozenset(new), Counter[str]()
    copies = set[tuple[str, int]]()
    for index, element in enumerate(old):
        if index in gone:
            copies.add((element, seen[element] if element in kept else -1))
        seen[element] += 1
    seen.clear()
    remaining = []
    for part in parts:
        if (part, -1) not in copies and (part, seen[part]) not in copies:
            remaining.append(part)
        seen[part] += 1
    return remaining


def _position(parts: list[str], before: list[str]) -> int:
    """Return the index in `parts` just behind the last element of `before` that `parts` contains, or 0 for none."""
    present = frozenset(parts)
    for index in range(len(before) - 1, -1, -1):
        if before[index] in present:
            copies = [position for position, part in enumerate(parts) if part == before[index]]
            return copies[min(before[:index].count(before[index]), len(copies) - 1)] + 1
    return 0
