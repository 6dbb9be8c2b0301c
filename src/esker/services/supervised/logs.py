"""The logs of services: the pipe that a service writes to, the rotated files, and how to read them.

A log is `NAME.log`; `NAME.log.1` holds what came before the last rotation. Both hold the service's bytes unchanged.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from esker.declare import project_directory
from esker.host import files

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ROTATION", "LogFile", "Pump", "follow", "log_name", "tail"]

ROTATION = 10_000_000
"""Bytes after which a log is rotated."""
_CHUNK = 1 << 16
_RECENT = 1 << 13
_MIB = 1 << 20


def log_name(service: str) -> str:
    """Return the file name of the log of `service`; characters that may not stand in one are percent-encoded."""
    name = re.sub(r"[^\w.-]|^\.", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), service)
    return f"{name}.log"


class LogFile:
    """The log of a service, open for writing and rotated; other users cannot read it.

    `directory` is a descriptor of the directory of logs. Everything is opened and renamed in it, and never by a path:
    the service's user may own the project, and could put a link there that leads root's supervisor elsewhere. A failure
    to write must not disturb the service: the data are dropped, and `problem` says why.
    """

    def __init__(self, name: str, directory: int, *, rotation: int = ROTATION) -> None:
        self._name = name
        self._directory = directory
        self.problem: str | None = None
        self._rotation = rotation
        self._recent = b""
        self._descriptor: int | None = None
        self._size = 0

    def begin(self) -> None:
        """Forget recent lines and the problem, because the service starts again."""
        self._recent, self.problem = b"", None

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._recent = (self._recent + data)[-_RECENT:]
        try:
            self._append(data)
        except OSError as error:
            self.problem = f"the log is not complete: {(error.strerror or str(error)).lower()}"
            self.close()

    def _append(self, data: bytes) -> None:
        if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
            self.close()  # somebody has removed it, and would find nothing of what is written from now on
        if self._descriptor is not None and self._size >= self._rotation:
            self.close()
            os.replace(self._name, f"{self._name}.1", src_dir_fd=self._directory, dst_dir_fd=self._directory)
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = os.open(self._name, flags, 0o600, dir_fd=self._directory)
            status = os.fstat(self._descriptor)
            # The project can put a link or a pipe here, so we may be about to write into a file of somebody else.
            if status.st_nlink > 1 or not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EPERM, "its file is a hard link or not a regular file")
            project_directory.give(self._descriptor, os.fstat(self._directory))
            self._size = status.st_size
        rest = memoryview(data)
        while rest:
            count = os.write(self._descriptor, rest)
            self._size += count
            rest = rest[count:]

    def recent(self, count: int) -> list[str]:
        """Return the last `count` lines since the service started, at most 8 KiB of them."""
        return _lines(self._recent)[-count:]

    def close(self) -> None:
        """Close the file; a further write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Pump:
    """Copies what a service writes to its pipe into its log; `output` is the end that its programs write to.

    Calls `matched` once, when a line matches `pattern`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: LogFile,
        matched: Callable[[], None],
        pattern: re.Pattern[bytes] | None,
    ) -> None:
        self._loop = loop
        self._log = log
        self._matched = matched
        self._pattern = pattern
        self._line = b""
        self._source, self.output = os.pipe()
        os.set_blocking(self._source, False)
        with suppress(OSError, AttributeError):  # a bigger pipe needs fewer reads; the user's limit may forbid it
            import fcntl

            fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, _MIB)
        loop.add_reader(self._source, self._read)

    def _read(self) -> bool:
        """Copy what is in the pipe, up to a chunk; return whether there was anything."""
        try:
            data = os.read(self._source, _CHUNK)
        except BlockingIOError:
            return False
        self._log.write(data)
        if self._pattern:
            self._match(data)
        return True

    def _match(self, data: bytes) -> None:
        assert self._pattern is not None
        *lines, self._line = (self._line + data).split(b"\n")
        if any(self._pattern.search(line) for line in lines) or self._pattern.search(self._line):
            self._pattern = None
            self._matched()
        self._line = self._line[-_CHUNK:]

    def close(self) -> None:
        """Copy what is left in the pipe and close it; a process that writes later gets SIGPIPE."""
        while self._read():
            pass
        self._loop.remove_reader(self._source)
        os.close(self._source)
        os.close(self.output)


def _lines(data: bytes) -> list[str]:
    """Return the lines in `data`; only a line feed ends a line, unlike in `str.splitlines`."""
    lines = data.decode(errors="replace").split("\n")
    return lines if lines[-1] else lines[:-1]


def tail(path: str, count: int | None = None) -> list[str]:
    """Return the last `count` lines of the log at `path`, or all; an empty list if there is no log."""
    reader = _Reader(path, count)
    reader.close()
    return _ending(_lines(reader.before + reader.rest), count)


def _ending(lines: list[str], count: int | None) -> list[str]:
    return lines if count is None else lines[len(lines) - min(count, len(lines)) :]


def _opened(path: str) -> int:
    """Open a log for reading; raise OSError for anything but a regular file.

    The project can put something else there: a symbolic link to another file, or a pipe that would block us.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", path)


def _last(descriptor: int, count: int | None, data: bytes) -> bytes:
    """Return at least the last `count` lines of the file, followed by `data`, and seek to the end of the file.

    `data` comes from the file that follows after rotation; its lines count too. Without `count`, return everything.
    """
    position = os.lseek(descriptor, 0, os.SEEK_END)
    pieces, lines = [data], data.count(b"\n")
    while position and (count is None or lines <= count):
        step = min(position, _CHUNK if count is not None else _MIB)
        position -= step
        pieces.append(os.pread(descriptor, step, position))
        lines += pieces[-1].count(b"\n")
    return b"".join(reversed(pieces))


def follow(
    paths: Mapping[str, str],
    pause: Callable[[], bool],
    *,
    count: int | None = None,
    streams: Mapping[str, Stream] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield (service, line): the last `count` lines of each log, then each line that is added.

    The logs are the files at `paths`, and `streams` from elsewhere. They are opened at once, so what is written after
    the call is added. `pause` is called when there is nothing new; following ends if it returns false.
    """
    own = {name: _Reader(path, count) for name, path in paths.items()}
    return _followed(own, {**own, **(streams or {})}, pause, count)


def _followed(
    own: Mapping[str, _Reader], readers: Mapping[str, Stream], pause: Callable[[], bool], count: int | None
) -> Iterator[tuple[str, str]]:
    try:
        for name, log in own.items():
            yield from ((name, line) for line in _ending(_lines(log.before), count))
        while True:
            added = [(name, line) for name, reader in readers.items() for line in reader.lines()]
            yield from added
            if not added and not pause():
                return
    finally:
        for reader in readers.values():
            reader.close()


class Stream(Protocol):
    """Where new lines of a log come from."""

    def lines(self) -> list[str]:
        """Return the lines that have been added since the last call."""

    def close(self) -> None:
        """End reading."""


class _Reader:
    """Reads the end of a log and then what is added to it, even if the log is rotated meanwhile."""

    def __init__(self, path: str, count: int | None) -> None:
        self._path = path
        self._descriptor = self._open()
        data = b"" if self._descriptor is None else _last(self._descriptor, count, b"")
        earlier = f"{path}.1"
        if count is None or data.count(b"\n") <= count:
            with files.refused("read", earlier), suppress(FileNotFoundError), open(_opened(earlier), "rb") as file:
                data = _last(file.fileno(), count, data)
        whole, feed, self.rest = data.rpartition(b"\n")
        self.before = whole + feed
        """Whole lines, `count` of them or more if the log has so many; the line in `rest` is not complete yet."""

    def _open(self) -> int | None:
        with files.refused("read", self._path), suppress(FileNotFoundError):
            return _opened(self._path)
        return None

    def lines(self) -> list[str]:
        added = self._read()
        if not added and self._rotated():
            added = self._read()  # what the supervisor wrote to the old file between our last read and the rotation
            self.close()
            self._descriptor = self._open()
            added += self._read()
        *lines, self.rest = (self.rest + added).split(b"\n")
        if len(self.rest) > _MIB:  # nobody reads so long a line, and its end may never come: do not collect it forever
            lines.append(self.rest)
            self.rest = b""
        return [line.decode(errors="replace") for line in lines]

    def _read(self) -> bytes:
        return b"" if self._descriptor is None else os.read(self._descriptor, _MIB)

    def _rotated(self) -> bool:
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._descriptor is None:
            return True
        opened = os.fstat(self._descriptor)
        return stat.S_ISREG(current.st_mode) and (current.st_ino, current.st_dev) != (opened.st_ino, opened.st_dev)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
