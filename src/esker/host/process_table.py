"""The processes of this machine as /proc shows them (Linux); elsewhere the table is empty.

Pids are used again: `process_id` names a process for longer than one look at the table.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "Entry",
    "ancestors",
    "descendants",
    "entries",
    "entry",
    "environment",
    "family",
    "owner",
    "table",
]


class Entry(NamedTuple):
    """One process."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    """Clock ticks since the boot."""
    state: str
    """One letter; `Z` is a zombie."""
    program: str
    """The name of the program, cut at 15 bytes by the kernel; untrusted."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, though nobody has asked for its status yet."""
        return self.state in {"Z", "X"}


def entry(pid: int) -> Entry | None:
    """Return the process `pid`, or None when there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except ProcessLookupError:  # it ended in between
        return None
    finally:
        os.close(descriptor)
    # The name stands in parentheses and may hold anything, spaces and parentheses too: fields begin after the last.
    opening, closing = text.index(b"("), text.rindex(b")")
    fields = text[closing + 2 :].split()
    return Entry(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start=int(fields[19]),
        state=fields[0].decode(),
        program=os.fsdecode(text[opening + 1 : closing]),
    )


def entries() -> Iterator[Entry]:
    """Yield every process that can be seen."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit() and (found := entry(int(name))):
            yield found


def table() -> dict[int, Entry]:
    """Return every process that can be seen, by pid."""
    return {found.pid: found for found in entries()}


def descendants(roots: Iterable[int], processes: Mapping[int, Entry]) -> list[Entry]:
    """Return those of `processes` whose parent, or parent's parent, is one of `roots`; the roots are left out."""
    children: dict[int, list[Entry]] = {}
    for found in processes.values():
        children.setdefault(found.parent, []).append(found)
    pending, family = list(roots), []
    while pending:
        for child in children.get(pending.pop(), ()):
            family.append(child)
            pending.append(child.pid)
    return family


def family(pid: int) -> dict[int, Entry]:
    """Return every process below `pid`, parents before their children, without looking at all of this machine's.

    One that is given another parent at that very moment may be missed: who must not miss any looks again.
    """
    if not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
        return {found.pid: found for found in descendants([pid], table())}
    pending, members = [pid], {}
    while pending:
        for child in _children(pending.pop()):
            if child not in members and (found := entry(child)):
                members[child] = found
                pending.append(child)
    return members


def _children(pid: int) -> list[int]:
    """The children of every thread of `pid`."""
    children = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                children += [int(child) for child in file.readall().split()]
    except OSError:  # it has ended: what it had is given to another
        pass
    return children


def ancestors(pid: int, processes: Mapping[int, Entry]) -> list[int]:
    """Return the parents of `pid`, the nearest first."""
    line = []
    while (found := processes.get(pid)) and found.parent:
        pid = found.parent
        line.append(pid)
    return line


def environment(pid: int) -> dict[bytes, bytes]:
    """Return the variables that the process was given when its program began; empty where that cannot be seen."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except OSError:
        return {}
    return dict(item.split(b"=", 1) for item in text.split(b"\0") if b"=" in item)


def owner(pid: int) -> int | None:
    """Return the uid of who may look into the process: its own, or root's once it has changed it."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
