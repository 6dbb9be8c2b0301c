"""A supervisor of an earlier `.flox` at the same path, which was removed, or moved away, while its services ran.

Its socket has a name of its own, made from the path and from the inode of the `.flox` of that time. So no command finds
it by itself; it can only be named to a person, because the checkout may live on elsewhere.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import ServiceError
from esker.host import process_id, runtime_directory
from esker.services.supervised.connection import dial

if TYPE_CHECKING:
    from esker.services.supervised.site import Site

__all__ = ["note"]

_PATH = 8
"""How many characters of a socket's name come from the path."""


def note(site: Site) -> str | None:
    """Return the line for people if services of an earlier `.flox` at this place still run, or None."""
    directory, own = os.path.split(site.socket)
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(directory)) if runtime_directory.is_private(directory) else []
    for name in names:
        if name != own and name.endswith(".sock") and name[:_PATH] == own[:_PATH]:
            with suppress(OSError, ServiceError), dial(f"{directory}/{name}") as connection:
                if process_id.is_ours(connection.supervisor) and _guards(connection.guardian, site.dot_flox):
                    return (
                        f"services of an earlier `.flox` at this place still run: `kill {connection.supervisor}` ends "
                        "them, or stop them where that checkout is now"
                    )
    return None


def _guards(guardian: int, dot_flox: str) -> bool:
    """Return whether a guardian was started for a `.flox` of this path; the short name could be of another one."""
    with open(f"/proc/{guardian}/cmdline", "rb") as file:
        return os.fsencode(dot_flox) in file.read().split(b"\0")
