"""Names for the texts in memory that a bash reads: its own messages then say which text and line they mean.

Bash calls a text by the path at which it reads it. For a descriptor that would be `/proc/self/fd/101`, so a link of the
text's name leads there. Only the number stands in it, so the link stays in the user's runtime directory, for every
later text of that name and number.
"""

from __future__ import annotations

import os

from esker.host import runtime_directory
from esker.host.memory_file import descriptor_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["paths"]


def paths(texts: Iterable[tuple[str, int]], directory: str | None) -> list[str]:
    """Return the path at which a program reads each text, given by its name and its descriptor.

    That is a link in `directory`; a missing link is made, a missing directory is not. It is the descriptor's own path
    if the directory is not ours alone, if the link cannot be made, or if it leads to another descriptor.
    """
    usable = directory is not None and runtime_directory.is_private(directory)
    return [
        _named(f"{directory}/{name}", number) if usable and name else descriptor_path(number) for name, number in texts
    ]


def _named(link: str, number: int) -> str:
    path = descriptor_path(number)
    try:
        leads_to = os.readlink(link)
    except FileNotFoundError:
        try:
            os.symlink(path, link)
        except OSError:  # somebody else has just made it, or it cannot be made
            return path
        return link
    except OSError:  # it is no link
        return path
    return link if leads_to == path else path
