"""The processes of this machine as /proc shows them (Linux); on other systems the table is empty.

The system reuses pids. To identify a process for longer than one look at the table, use `process_id`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import NamedTuple
else:
    from esker.host.named_tuple import NamedTuple

__all__ = [
    "ProcessEntry",
    "ancestors",
    "descendants",
    "entries",
    "entry",
    "environment",
    "family",
    "owner",
    "table",
]


class ProcessEntry(NamedTuple):
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
    """The name of the program, which the kernel cuts at 15 bytes; untrusted."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, even if its parent has not fetched its exit status yet."""
        return self.state in {"Z", "X"}

    @property
    def stopped(self) -> bool:
        """Whether a signal such as SIGSTOP or that of Ctrl-Z has suspended it."""
        return self.state == "T"


def entry(pid: int) -> ProcessEntry | None:
    """Return the process `pid`, or None when there is no such process."""
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
    # The name is in parentheses and may itself contain spaces and parentheses, so the last one closes it.
    opening, closing = text.index(b"("), text.rindex(b")")
    fields = text[closing + 2 :].split()
    return ProcessEntry(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start=int(fields[19]),
        state=fields[0].decode(),
        program=os.fsdecode(text[opening + 1 : closing]),
    )


def entries() -> Iterator[ProcessEntry]:
    """Yield every process that this one can see."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit() and (process := entry(int(name))):
            yield process


def table() -> dict[int, ProcessEntry]:
    """Return every process that this one can see, by pid."""
    return {process.pid: process for process in entries()}


def descendants(roots: Iterable[int], processes: Mapping[int, ProcessEntry]) -> list[ProcessEntry]:
    """Return the processes that descend from one of the pids in `roots`, without the roots themselves."""
    children: dict[int, list[ProcessEntry]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    pending, family = list(roots), []
    while pending:
        for child in children.get(pending.pop(), ()):
            family.append(child)
            pending.append(child.pid)
    return family


def family(pid: int) -> dict[int, ProcessEntry]:
    """Return the descendants of `pid`, parents before their children, without reading the whole process table.

    It may miss a process that gets a new parent at that very moment. A caller that must not miss any should look again.
    """
    if not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
        return {process.pid: process for process in descendants([pid], table())}
    pending, members = [pid], {}
    while pending:
        for child in _children(pending.pop()):
            if child not in members and (process := entry(child)):
                members[child] = process
                pending.append(child)
    return members


def _children(pid: int) -> list[int]:
    """Return the pids of the children that the threads of `pid` have."""
    children = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                children += [int(child) for child in file.readall().split()]
    except OSError:  # the process has ended, and its children now have another parent
        pass
    return children


def ancestors(pid: int, processes: Mapping[int, ProcessEntry]) -> list[int]:
    """Return the pids of the parent of `pid`, its parent's parent and so on."""
    line = []
    while (process := processes.get(pid)) and process.parent:
        pid = process.parent
        line.append(pid)
    return line


def environment(pid: int) -> dict[bytes, bytes]:
    """Return the variables that the process was started with; empty when we may not read them."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except OSError:
        return {}
    return dict(item.split(b"=", 1) for item in text.split(b"\0") if b"=" in item)


def owner(pid: int) -> int | None:
    """Return the uid that may inspect the process: its own, or root's after a change of uid; None if it ended."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
