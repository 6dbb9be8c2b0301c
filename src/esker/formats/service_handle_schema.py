"""The schema of `.flox-services.json`, as types that `tables.reader` reads; only `service_handle` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from esker.formats.tables.reader import Nullable, Parsed, Refusal, Rest

__all__ = ["SavedFile"]

_LARGEST_PID = 2**32 - 1
_HINT = "stop the services by name"


def _pid(number: int) -> int:
    if not 0 < number <= _LARGEST_PID:
        raise Refusal(f"no process has the pid {number}", _HINT)
    return number


def _absolute(path: str) -> str:
    if path and not path.startswith("/"):
        raise Refusal(f"`{path}` is not an absolute path", _HINT)
    return path


Pid = Annotated[int, Parsed(_pid)]
Others = Annotated[Mapping[str, Any], Rest()]
"""Keys that we do not know, which another version of Angreal may have added."""


class SavedService(msgspec.Struct, frozen=True):
    """One service, as it was just after it had started."""

    name: str
    status: str
    pid: Annotated[Pid | None, Nullable()] = None
    exit_code: Annotated[int | None, Nullable()] = None
    health: Annotated[str | None, Nullable()] = None
    others: Others = {}


class SavedHolder(msgspec.Struct, frozen=True):
    """The process that keeps Flox from ending the services."""

    pid: Pid
    start: int
    boot: str
    others: Others = {}


class SavedFile(msgspec.Struct, frozen=True):
    """The whole file."""

    flox_env_path: Annotated[str, Parsed(_absolute)]
    started_at: str
    services: tuple[SavedService, ...]
    engine: Annotated[str | None, Nullable()] = None
    holder: Annotated[SavedHolder | None, Nullable()] = None
    others: Others = {}
