"""Texts of others as they may be shown at a terminal, which obeys what it is sent.

On the path of every command that says something: nothing is imported at the top.
"""

from __future__ import annotations

__all__ = ["printable"]

_KEPT = "\n\t"


def printable(text: str, *, colours: bool = False) -> str:
    r"""Return a text in which nothing but line ends and tabs can move a terminal's cursor; `colours` stay if wanted.

    >>> printable("a\x1b[2Jb\n")
    'a\\x1b[2Jb\n'
    >>> printable("\x1b[31mred\x1b[0m \x1b]0;title\x07", colours=True)
    '\x1b[31mred\x1b[0m \\x1b]0;title\\x07'
    """
    if text.isprintable():
        return text
    if colours:
        import re

        parts = re.split(r"(\x1b\[[0-9;:]*m)", text)
        return "".join(part if index % 2 else printable(part) for index, part in enumerate(parts))
    return "".join(
        char if char.isprintable() or char in _KEPT else char.encode("unicode_escape").decode() for char in text
    )
