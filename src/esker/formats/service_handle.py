"""`.flox-services.json`: which services a program left running, for another program to stop.

One JSON object with the keys that Angreal writes and wants: `flox_env_path` (the project directory, absolute),
`started_at` (UTC, `2026-11-20T12:21:34Z`; any text is read, because nothing is worked out from it) and `services`, a
list of `name`, `status` and `pid` (null or absent without a process). Angreal ignores other keys, and these are ours:
`version`, the number of this format, which Angreal's own files lack; `engine`, which says who runs the services; and
`holder`, the process that keeps Flox from ending them, by `pid`, `start` (clock ticks since the boot) and `boot` (the
kernel's name of that boot), so that a pid that was used again is never taken for it. A service of ours may also have
`exit_code` and `health`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from esker.errors import InvalidFile, Problem

__all__ = ["NAME", "Holder", "SavedServices", "ServiceInfo", "parse", "render"]

NAME = ".flox-services.json"
_VERSION = 1
_HINT = "remove the file, and stop the services by name"


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One service at one moment.

    >>> ServiceInfo("postgres", "Running", 4711)
    ServiceInfo(name='postgres', status='Running', pid=4711)
    """

    name: str
    status: str
    """Flox's word: Running, Stopped, Completed, ..."""
    pid: int | None = None
    """The pid of a process that runs."""
    exit_code: int | None = None
    health: str | None = None
    """Compose's word: starting, healthy, unhealthy; None without a check."""

    def as_tuple(self) -> tuple[str, str, int | None]:
        """Return name, status and pid."""
        return self.name, self.status, self.pid

    def __repr__(self) -> str:
        known = ((name, value) for name, value in asdict(self).items() if value is not None)
        return f"ServiceInfo({', '.join(f'{name}={value!r}' for name, value in known)})"


class Holder(NamedTuple):
    """A process, named so that no other can be taken for it."""

    pid: int
    start: int
    """Clock ticks since the boot."""
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedServices:
    """What a file says."""

    flox_env_path: str
    started_at: str
    services: tuple[ServiceInfo, ...]
    engine: str | None = None
    """`flox`, `native`, or None in a file of Angreal's."""
    holder: Holder | None = None


def render(saved: SavedServices) -> bytes:
    """Return the file."""
    record: dict[str, Any] = {
        "flox_env_path": saved.flox_env_path,
        "started_at": saved.started_at,
        "services": [asdict(service) for service in saved.services],
        "version": _VERSION,
        "engine": saved.engine,
        "holder": saved.holder and saved.holder._asdict(),
    }
    return json.dumps(record).encode() + b"\n"


def parse(data: bytes, path: str = NAME) -> SavedServices:
    """Return what the file at `path` says, whether we wrote it or Angreal; raises InvalidFile with every problem."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InvalidFile(path, [Problem("not a JSON object", hint=_HINT)])
    if record.get("version", _VERSION) != _VERSION:
        hint = "stop these services with the Esker that started them"
        raise InvalidFile(path, [Problem(f"version `{record['version']}` of this file is not known", hint=hint)])
    from esker.formats.service_handle_schema import SavedFile  # what it needs is heavy, and few read such a file
    from esker.formats.tables.reader import Report, read

    report = Report()
    saved = read(SavedFile, record, report)
    if saved is None or report.problems:
        raise InvalidFile(path, [Problem(problem.message, hint=_HINT) for problem in report.problems])
    return SavedServices(
        flox_env_path=saved.flox_env_path,
        started_at=saved.started_at,
        services=tuple(ServiceInfo(one.name, one.status, one.pid, one.exit_code, one.health) for one in saved.services),
        engine=saved.engine,
        holder=None if saved.holder is None else Holder(saved.holder.pid, saved.holder.start, saved.holder.boot),
    )
