"""An activation as a difference of variables, and how to work it out from the variables before and after.

This module is on the path of every activation: it imports nothing heavy, not even `json`.
"""

from __future__ import annotations

from esker.activate.lists import DATA_DIRECTORIES, LISTS, edited, elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = ["Activation", "difference"]

_MOST_CANDIDATES = 64
"""How many lengths of a prepended part we try before we give up and set the list as a whole."""


class Activation:
    """A difference of variables, which can be applied to any environment; frozen.

    `prepend`, `append` and `remove` hold elements of variables that are in `LISTS`.
    """

    __slots__ = ("append", "left", "prepend", "remove", "set", "unset")

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
        self.left: dict[str, str] = {}
        """No part of the difference: what a shell takes over besides from another tool (`left_in_bash`)."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self.record() == other.record()

    def __hash__(self) -> int:
        import json

        return hash(json.dumps(self.record(), sort_keys=True))

    def __repr__(self) -> str:
        return f"Activation({self.record()!r})"

    def names(self) -> frozenset[str]:
        """Return the names of all variables that this activation touches."""
        return frozenset((*self.set, *self.unset, *self.prepend, *self.append, *self.remove))

    def value(self, name: str, value: str | None) -> str | None:
        """Return the new value of the variable `name`, which has `value` now; None means that it is not set."""
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
        """Return this activation without any change to the variables `names`."""
        excluded = frozenset(names)
        return Activation(
            set={name: value for name, value in self.set.items() if name not in excluded},
            unset=(name for name in self.unset if name not in excluded),
            **{
                kind: {name: parts for name, parts in getattr(self, kind).items() if name not in excluded}
                for kind in ("prepend", "append", "remove")
            },
        )

    @classmethod
    def joined(cls, activations: Iterable[Activation]) -> Activation:
        """Return one activation with the changes of all, which touch different variables."""
        found = tuple(activations)
        kinds = ("set", "prepend", "append", "remove")
        return cls(
            unset=(name for activation in found for name in activation.unset),
            **{kind: {name: each for one in found for name, each in getattr(one, kind).items()} for kind in kinds},
        )

    def record(self) -> dict[str, Any]:
        """Return the activation in the form that is written as JSON; `remove` is left out if it is empty."""
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
        """Return the record for `activate --json`, with whole values for lists whose elements no colon separates."""
        special = [name for name in self.names() if name not in self.set and LISTS.get(name, ":") != ":"]
        record = self.without(special).record()
        record["set"] |= {name: self.value(name, environ.get(name)) for name in special}
        return {**record, "set": dict(sorted(record["set"].items()))}


def difference(before: Mapping[str, str], after: Mapping[str, str], always: Iterable[str] = ()) -> Activation:
    """Return the activation that leads from one environment to the other.

    A list variable is set as a whole only if no edit of its elements gives exactly the new value. The activation also
    sets the variables in `always` if their values are the same.
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
    """Return the elements to prepend, append and remove, or None if no such edit gives exactly the new value."""
    old, new = elements(name, before), elements(name, after)
    common = [index for index, element in enumerate(new) if element in old]
    if common:
        append = new[common[-1] + 1 :]
    elif not old:
        append = _default(name, new)
    else:
        return None
    first = common[0] if common else len(new) - len(append)
    remove = [element for element in old if element not in new]
    most = len(new) - len(append)
    # Old elements may have been moved to the front, so the prepended part can be longer than the elements that are new.
    # We try ever longer ones.
    for count in range(first, min(most, first + _MOST_CANDIDATES) + 1):
        parts = (new[:count], append, remove)
        if any(parts) and edited(name, before, *parts) == after:
            return parts
    return None


def _default(name: str, parts: list[str]) -> list[str]:
    """Return the end of a list that stands for the variable's default, which stays at the end whatever comes before."""
    default = list(DATA_DIRECTORIES) if name == "XDG_DATA_DIRS" else [""]
    count = len(default)
    return default if len(parts) > count and parts[-count:] == default else []
