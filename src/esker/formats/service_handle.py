"""`.flox-services.json`: the services that a program left running, so that another program can stop them.

The file is one JSON object. Angreal writes and expects these keys: `flox_env_path`, the absolute path of the project
directory; `started_at`, the time in UTC, such as `2026-11-20T12:21:34Z`; and `services`, a list of objects with `name`,
`status` and `pid` (null or absent without a process). We accept any text in `started_at`, because we never use it.

Angreal ignores other keys, and Esker adds some. `version` is the number of this format; Angreal's own files have none.
`engine` says who runs the services. `holder` is the process that keeps Flox from ending them. It is identified by
`pid`, `start` (clock ticks since the boot) and `boot` (the kernel's id of that boot), so that we never mistake another
process with a reused pid for it. A service may also have `exit_code` and `health`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from esker.errors import InvalidFile, Problem
from esker.formats.untrusted import json_value

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
    """As Flox names it: Running, Stopped, Completed, ..."""
    pid: int | None = None
    """The pid, if a process runs."""
    exit_code: int | None = None
    health: str | None = None
    """As Docker Compose names it: starting, healthy, unhealthy; None without a health check."""

    def as_tuple(self) -> tuple[str, str, int | None]:
        """Return name, status and pid."""
        return self.name, self.status, self.pid

    def __repr__(self) -> str:
        present = ((name, value) for name, value in asdict(self).items() if value is not None)
        return f"ServiceInfo({', '.join(f'{name}={value!r}' for name, value in present)})"


class Holder(NamedTuple):
    """A process, identified so that another process with the same pid is not mistaken for it."""

    pid: int
    start: int
    """The time at which it started, in clock ticks since the boot."""
    boot: str
    """The kernel's id of that boot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedServices:
    """The contents of a file."""

    flox_env_path: str
    started_at: str
    services: tuple[ServiceInfo, ...]
    engine: str | None = None
    """`flox` or `native`; None if Angreal wrote the file."""
    holder: Holder | None = None


def render(saved: SavedServices) -> bytes:
    """Return the bytes of the file."""
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
    """Read a file that Esker or Angreal wrote; raise InvalidFile with every problem. `path` is only for messages."""
    try:
        record = json_value(data)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InvalidFile(path, [Problem("not a JSON object", hint=_HINT)])
    if record.get("version", _VERSION) != _VERSION:
        hint = "stop these services with the version of Esker that started them"
        raise InvalidFile(path, [Problem(f"version `{record['version']}` of this file is not known", hint=hint)])
    from esker.formats.service_handle_schema import SavedFile  # its imports are slow, and few programs read such a file
    from esker.formats.tables.reader import Report, read

    report = Report()
    saved = read(SavedFile, record, report)
    if saved is None or report.problems:
        raise InvalidFile(path, [Problem(problem.message, hint=_HINT) for problem in report.problems])
    return SavedServices(
        flox_env_path=saved.flox_env_path,
        started_at=saved.started_at,
        services=tuple(
            ServiceInfo(service.name, service.status, service.pid, service.exit_code, service.health)
            for service in saved.services
        ),
        engine=saved.engine,
        holder=None if saved.holder is None else Holder(saved.holder.pid, saved.holder.start, saved.holder.boot),
    )
