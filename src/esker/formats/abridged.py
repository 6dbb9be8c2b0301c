"""Long lists, cut for people: the first entries, and how many more there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["abridged"]

T = TypeVar("T")


def abridged(entries: Sequence[T], most: int) -> tuple[Sequence[T], int]:
    """Return the first `most` entries and the number of the others, which is never 1: then that one is shown as well.

    >>> abridged("abcd", 2), abridged("abc", 2)
    (('ab', 2), ('abc', 0))
    """
    return (entries, 0) if len(entries) <= most + 1 else (entries[:most], len(entries) - most)
