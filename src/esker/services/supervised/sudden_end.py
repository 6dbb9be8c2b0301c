"""What is left to say after a supervisor was killed: the last line of its log, until the next one starts."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.services.supervised import logs
from esker.services.supervised.guardian import KILLED
from esker.services.supervised.site import LOGS

if TYPE_CHECKING:
    from esker.services.supervised.site import Site

__all__ = ["note", "record"]


def record(site: Site) -> None:
    """Write that the supervisor was killed together with its guardian, which could not write it."""
    with suppress(OSError), project_directory.opened(site.dot_flox, *LOGS) as directory:
        log = logs.LogFile(os.path.basename(site.messages), directory)
        log.write(f"{KILLED} together with its guardian, and the services with it\n".encode())
        log.close()


def note(site: Site) -> str | None:
    """Return the line for people if the last supervisor was killed, or None."""
    with suppress(OSError):
        for line in logs.tail(site.messages, 1):
            if line.startswith(KILLED):
                return line
    return None
