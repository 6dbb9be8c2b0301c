"""TCP ports of this machine: whether a port is free, and which process listens on it."""

from __future__ import annotations

import errno
import os
import socket

from esker.host import process_table

__all__ = ["holder", "is_free"]

_ADDRESSES = (
    (socket.AF_INET, "0.0.0.0"),  # noqa: S104 - bound for a moment, without listening
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::"),
    (socket.AF_INET6, "::1"),
)
_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now, on all addresses and on the loopback address alone."""
    for family, address in _ADDRESSES:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as refusal:
            if refusal.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            # Any other error means that this machine does not have the address, so nothing can listen there.
    return True


def holder(port: int) -> process_table.ProcessEntry | None:
    """Return a process that listens on the port; None if there is none or we may not see it (Linux only)."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return None
    for process in process_table.entries():
        directory = f"/proc/{process.pid}/fd"
        try:
            if any(_target(f"{directory}/{name}") in sockets for name in os.listdir(directory)):
                return process
        except OSError:  # the process belongs to another user, or has just ended
            continue
    return None


def _listening(port: int) -> list[str]:
    """Return the inodes of the sockets that listen on the port."""
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        inodes += [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]
    return inodes


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
