"""Which processes use services that Flox runs, so that the last process to need a service stops it.

Flox counts the processes of an activation, not the users of a service. So each program that starts services for a
while records in a file of the checkout what it started and what it uses. Services that ran before, or that run until
`stop`, are not recorded as started, so we never stop them because nobody uses them. The file also names the process
that stays attached to the activation for services that run until `stop`. The file records a process by pid and start
time, so a killed one does not count. Anything written before the last boot is ignored.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import project_directory
from esker.formats.service_handle import Holder
from esker.host import files, process_id, state_file
from esker.host.process_id import ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Uses", "changing_uses"]


class _Use(NamedTuple):
    token: str
    process: ProcessId
    names: tuple[str, ...]


@dataclass(slots=True)
class Uses:
    """The file's contents, while its lock is held."""

    path: str
    directory: int
    """A descriptor of the directory of the file."""
    uses: list[_Use] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    """The services that run only for as long as somebody uses them."""
    holder: Holder | None = None
    _written: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._written = json.dumps(self.record())

    def keep(self, holder: Holder) -> None:
        """Record the process that stays attached to the activation, and write the file at once."""
        self.holder = holder
        self.write()

    def take(self, token: str, pid: int, names: Iterable[str], started: Iterable[str]) -> None:
        """Record the services that a process uses, and those that it is about to start, and write the file at once."""
        self.uses.append(_Use(token, process_id.of(pid), tuple(names)))
        self.started |= set(started)
        self.write()

    def release(self, token: str, pid: int) -> list[str]:
        """Remove the use of a process, and return the started services that nobody uses any more."""
        self.uses = [use for use in self.uses if (use.token, use.process.pid) != (token, pid)]
        unused = self.started.difference(*(use.names for use in self.uses))
        self.started -= unused
        return sorted(unused)

    def users(self, name: str) -> list[int]:
        """Return the pids of the processes that use a service."""
        return [use.process.pid for use in self.uses if name in use.names]

    def forget(self, names: Iterable[str]) -> None:
        """Remove stopped services from all uses and from those that were started."""
        stopped = set(names)
        self.started -= stopped
        self.uses = [use._replace(names=tuple(set(use.names) - stopped)) for use in self.uses]

    def record(self) -> dict[str, Any]:
        """Return the contents as values for JSON."""
        uses = [(use.token, *use.process, use.names) for use in self.uses]
        return {"uses": uses, "started": sorted(self.started), "holder": self.holder}

    def write(self) -> None:
        """Write the file, unless nothing has changed."""
        contents = json.dumps(self.record())
        if contents != self._written:
            boot = json.dumps(process_id.boot_id())
            text = f'{{"boot": {boot}, "contents": {contents}}}\n'
            files.write(self.path, text.encode(), directory=self.directory)
            self._written = contents


@contextmanager
def changing_uses(dot_flox: str) -> Iterator[Uses]:
    """Yield the contents of an environment's file under its lock; changes are written at the end of the block."""
    above = f"{dot_flox}/cache/esker"
    with (
        project_directory.writable(dot_flox, "cache", "esker") as directory,
        files.locked(f"{above}/flox-services.lock", directory=directory),
    ):
        uses = _read(f"{above}/flox-services.json", directory)
        try:
            yield uses
        finally:
            uses.write()


def _read(path: str, directory: int) -> Uses:
    """Return the contents of a file, without processes that have ended; empty if it is unreadable or malformed."""
    record = state_file.read(path, as_directory=True)
    if record is None or record.get("boot") != process_id.boot_id():
        return Uses(path, directory)
    try:
        contents = record["contents"]
        uses = [_Use(token, ProcessId(pid, start), tuple(names)) for token, pid, start, names in contents["uses"]]
        if not all(type(number) is int for use in uses for number in use.process):  # they become a path below /proc
            return Uses(path, directory)
        holder = Holder(*contents["holder"]) if contents["holder"] else None
        living = [use for use in uses if use.process.lives]
        return Uses(path, directory, living, set(contents["started"]), holder)
    except (ValueError, KeyError, TypeError):
        return Uses(path, directory)
