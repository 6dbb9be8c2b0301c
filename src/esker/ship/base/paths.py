"""Paths in a base: where they lead through its links, which never lead out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parts_of", "resolved"]

_MOST_LINKS = 40
"""As many as Linux follows."""


def parts_of(path: str) -> list[str]:
    """Return the parts of a path that name something; `..` is one of them."""
    return [part for part in path.split("/") if part not in {"", "."}]


def resolved(path: str, link_at: Callable[[str], str | None], *, last: bool = True) -> str:
    """Return the absolute path without links that a path leads to, whether anything is there or not.

    `link_at` returns the target of the link at an absolute path, or None if there is no link. The last part is followed
    only if `last` is true. As for a program in the image, `..` in the root is the root. Raises Malformed for links that
    lead to each other.

    >>> resolved("/bin/sh", {"/bin": "usr/bin", "/usr/bin/sh": "dash"}.get)
    '/usr/bin/dash'
    >>> resolved("/a", {"/a": "../../etc/passwd"}.get)
    '/etc/passwd'
    """
    pending = parts_of(path)[::-1]
    current, links = "", 0
    while pending:
        part = pending.pop()
        if part == "..":
            current = current.rpartition("/")[0]
            continue
        here = f"{current}/{part}"
        target = link_at(here) if pending or last else None
        if target is None:
            current = here
            continue
        links += 1
        if links > _MOST_LINKS:
            raise Malformed(f"more than {_MOST_LINKS} links lead from `{path}` to each other")
        if target.startswith("/"):
            current = ""
        pending += parts_of(target)[::-1]
    return current or "/"
