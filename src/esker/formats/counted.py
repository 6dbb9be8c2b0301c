"""How many of a thing there are, as a sentence has it: `1 layer`, `3 layers`."""

from __future__ import annotations

__all__ = ["counted", "noun"]


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and its noun; `many` is the plural, unless that is `one` with an `s` at its end.

    >>> counted(1, "layer"), counted(0, "layer"), counted(3, "blob of images", "blobs of images")
    ('1 layer', '0 layers', '3 blobs of images')
    """
    return f"{number} {noun(number, one, many)}"


def noun(number: int, one: str, many: str = "") -> str:
    """Return the noun for a number that stands elsewhere; `many` is as in `counted`."""
    return one if number == 1 else many or f"{one}s"
