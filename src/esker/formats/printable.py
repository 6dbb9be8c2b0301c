"""Makes untrusted text safe to show in a terminal, which would obey the control sequences in it.

Every command that prints a message imports this module, so it imports nothing at the top.
"""

from __future__ import annotations

__all__ = ["printable"]

_KEPT = "\n\t"


def printable(text: str, *, colours: bool = False) -> str:
    r"""Return the text with every control character escaped, except line ends and tabs.

    `colours` keeps the escape sequences that set colours, too.

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
