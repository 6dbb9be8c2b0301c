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
from typing import Any, NamedTuple, TypeVar

from esker.errors import InvalidFile, Problem

__all__ = ["NAME", "Holder", "SavedServices", "ServiceInfo", "parse", "render"]

NAME = ".flox-services.json"
_VERSION = 1
_LARGEST_PID = 2**32 - 1
_HINT = "remove the file, and stop the services by name"
T = TypeVar("T", int, str)


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
    reader = _Reader()
    saved = SavedServices(
        flox_env_path=reader.path(record, "flox_env_path"),
        started_at=reader.text(record, "started_at"),
        services=tuple(reader.service(entry) for entry in reader.services(record)),
        engine=reader.optional(record, "engine", str),
        holder=reader.holder(record.get("holder")),
    )
    if reader.problems:
        raise InvalidFile(path, reader.problems)
    return saved


class _Reader:
    """Takes values out of JSON and notes what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _refuse(self, message: str) -> None:
        self.problems.append(Problem(message, hint=_HINT))

    def text(self, record: dict[str, Any], key: str) -> str:
        value = record.get(key)
        if isinstance(value, str):
            return value
        self._refuse(f"`{key}` is missing" if key not in record else f"`{key}` is not a text")
        return ""

    def path(self, record: dict[str, Any], key: str) -> str:
        path = self.text(record, key)
        if path and not path.startswith("/"):
            self._refuse(f"`{key}` is not an absolute path")
        return path

    def optional(self, record: dict[str, Any], key: str, kind: type[T]) -> T | None:
        value = record.get(key)
        if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
            return value
        self._refuse(f"`{key}` is not {'a text' if kind is str else 'a number'}")
        return None

    def services(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        entries = record.get("services")
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            return entries
        self._refuse("`services` is not a list of objects")
        return []

    def service(self, entry: dict[str, Any]) -> ServiceInfo:
        return ServiceInfo(
            name=self.text(entry, "name"),
            status=self.text(entry, "status"),
            pid=self.pid(entry),
            exit_code=self.optional(entry, "exit_code", int),
            health=self.optional(entry, "health", str),
        )

    def pid(self, entry: dict[str, Any]) -> int | None:
        pid = self.optional(entry, "pid", int)
        if pid is None or 0 < pid <= _LARGEST_PID:
            return pid
        self._refuse(f"`pid` cannot be {pid}")
        return None

    def holder(self, entry: Any) -> Holder | None:
        if entry is None:
            return None
        if not isinstance(entry, dict):
            self._refuse("`holder` is not an object")
            return None
        pid, start = self.pid(entry), self.optional(entry, "start", int)
        if pid is None or start is None:
            self._refuse("`holder` has no `pid` or no `start`")
            return None
        return Holder(pid, start, self.text(entry, "boot"))
