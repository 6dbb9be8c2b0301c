"""Who uses services that Flox runs, so that they are stopped by whoever is the last to need them, and by no one else.

Flox counts the processes of an activation, not the users of a service. So the programs that start services for a while
write down, in one file of the checkout, what they started and who uses it: a service that was running before, or that
was started to stay, is in nobody's list and is never stopped for want of users. The file also names the process that
keeps the activation for services that stay. Users are known by pid and start time, so that one that was killed does not
count, and what was written before the last boot is nothing.
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

__all__ = ["Uses", "changing"]


class _Use(NamedTuple):
    token: str
    process: ProcessId
    names: tuple[str, ...]


@dataclass(slots=True)
class Uses:
    """The file's contents, while its lock is held."""

    path: str
    uses: list[_Use] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    """The services that were started for their users alone."""
    holder: Holder | None = None
    _written: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._written = json.dumps(self.record())

    def keep(self, holder: Holder) -> None:
        """Note who keeps services, in the file at once."""
        self.holder = holder
        self.write()

    def take(self, token: str, pid: int, names: Iterable[str], started: Iterable[str]) -> None:
        """Note that a process uses services, and which of them are about to be started, in the file at once."""
        self.uses.append(_Use(token, process_id.of(pid), tuple(names)))
        self.started |= set(started)
        self.write()

    def release(self, token: str, pid: int) -> list[str]:
        """Forget the use of a process, and return the services that nobody needs any more."""
        self.uses = [use for use in self.uses if (use.token, use.process.pid) != (token, pid)]
        unused = self.started.difference(*(use.names for use in self.uses))
        self.started -= unused
        return sorted(unused)

    def users(self, name: str) -> list[int]:
        """Return the pids that use a service."""
        return [use.process.pid for use in self.uses if name in use.names]

    def forget(self, names: Iterable[str]) -> None:
        """Note that services were stopped, whoever used them."""
        gone = set(names)
        self.started -= gone
        self.uses = [use._replace(names=tuple(set(use.names) - gone)) for use in self.uses]

    def record(self) -> dict[str, Any]:
        """Return the contents as JSON holds them."""
        uses = [(use.token, *use.process, use.names) for use in self.uses]
        return {"uses": uses, "started": sorted(self.started), "holder": self.holder}

    def write(self) -> None:
        """Write the file, unless it says the same."""
        contents = json.dumps(self.record())
        if contents != self._written:
            boot = json.dumps(process_id.boot_id())
            files.write(self.path, f'{{"boot": {boot}, "contents": {contents}}}\n'.encode())
            self._written = contents


@contextmanager
def changing(dot_flox: str) -> Iterator[Uses]:
    """Hold the lock of an environment's file and give its contents, which are written where they were changed."""
    directory = f"{dot_flox}/cache/esker"
    with files.refused("make", directory):
        project_directory.made(dot_flox, "cache", "esker")
    with files.locked(f"{directory}/flox-services.lock"):
        uses = _read(f"{directory}/flox-services.json")
        try:
            yield uses
        finally:
            uses.write()


def _read(path: str) -> Uses:
    """Return what a file says that still holds; a file that cannot be read says nothing."""
    record = state_file.read(path, as_directory=True)
    if record is None or record.get("boot") != process_id.boot_id():
        return Uses(path)
    try:
        contents = record["contents"]
        uses = [_Use(token, ProcessId(pid, start), tuple(names)) for token, pid, start, names in contents["uses"]]
        holder = Holder(*contents["holder"]) if contents["holder"] else None
        living = [use for use in uses if use.process.lives]
        return Uses(path, living, set(contents["started"]), holder)
    except (ValueError, KeyError, TypeError):
        return Uses(path)
