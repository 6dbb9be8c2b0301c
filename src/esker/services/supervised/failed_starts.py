"""Why services could not be started, for as long as no start is tried again: `failed-starts.json` beside their logs.

A failed start stops what it has started, and then the supervisor ends. The states that it knew end with it, and a
service that has failed would look like one that was never started.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.errors import EskerError
from esker.formats.untrusted import json_value
from esker.host import files
from esker.services.supervised.site import LOGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.services.supervised.site import Site

__all__ = ["forget", "read", "record"]

_NAME = "failed-starts.json"
_LARGEST = 1 << 16


def record(directory: int, reasons: Mapping[str, str]) -> None:
    """Add the reasons of services, by name, to those in the open `directory` of logs; a full disk is no error."""
    _write(directory, {**_read(directory), **reasons})


def forget(directory: int, names: Iterable[str]) -> None:
    """Forget the reasons of services, because they are started again or were stopped by order."""
    known = _read(directory)
    left = {name: reason for name, reason in known.items() if name not in set(names)}
    if left != known:
        _write(directory, left)


def read(site: Site) -> dict[str, str]:
    """Return the reasons by the name of the service; empty if there are none that can be read."""
    if not os.path.lexists(f"{site.logs}/{_NAME}"):
        return {}
    with suppress(OSError), project_directory.opened(site.dot_flox, *LOGS) as directory:
        return _read(directory)
    return {}


def _read(directory: int) -> dict[str, str]:
    try:
        # The project can put a link or a pipe here.
        descriptor = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with open(descriptor, "rb") as file:
            value = json_value(file.read(_LARGEST))
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: reason for name, reason in value.items() if isinstance(reason, str)}


def _write(directory: int, reasons: Mapping[str, str]) -> None:
    with suppress(OSError, EskerError):
        if reasons:
            files.write(_NAME, json.dumps(reasons).encode(), directory=directory)
        else:
            os.unlink(_NAME, dir_fd=directory)
