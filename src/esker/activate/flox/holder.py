"""The holder: a process that keeps an activation by Flox alive, and tells us the variables of that activation.

Flox keeps an activation, with its services, for as long as a process is attached to it. What Flox prints for shells is
not made for programs to read. So we run a small program as `flox activate -- PROGRAM`. It connects to a socket of
ours, sends the environment that the kernel gave it, and stays until the connection ends. The connection also ends when
we are killed. For services that outlive us, the program is told to stay until it gets a signal.

The program inherits no pipe of ours, so a process that the hook leaves running cannot keep one open. What the
activation prints goes into a file in memory, and from there to our standard error.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import ActivationFailed, HostError, TimedOut
from esker.formats.service_handle import Holder
from esker.formats.urls import redact
from esker.host import pidfd, process_id, runtime_directory, trees
from esker.host.clock import Deadline
from esker.host.memory_file import memory_file
from esker.host.process import start_failure
from esker.host.process_id import ProcessId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Attached", "attach_holder", "end", "is_alive", "stay"]

_PROGRAM = """\
import os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as home:
    home.connect(sys.argv[1])
    try:
        with open("/proc/self/environ", "rb") as file:
            environ = file.read()
    except OSError:
        environ = b"".join(name + b"=" + value + b"\\0" for name, value in os.environb.items())
    home.sendall(b"%d\\n%b" % (len(environ), environ))
    stay = home.recv(1)
os.chdir("/")
while stay:
    signal.pause()
"""
_LOOK = 0.05
"""Seconds between two looks at what Flox has printed."""
_SOON = 0.005
_GRACE = 5.0
"""Seconds that a holder has to end before it is killed, or before we stop waiting for it."""
_LAST_WORDS = 2000
_OF_THE_PROGRAM = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
"""Variables that every program changes merely by running."""


class Attached:
    """A holder in an activation, which ends when `leave` is called or when this process ends."""

    def __init__(self, variables: Mapping[str, str], connection: socket.socket, child: int) -> None:
        self.variables = dict(variables)
        """Every variable of the activation."""
        self._connection: socket.socket | None = connection
        self._child = child
        self._owner = os.getpid()

    def leave(self) -> None:
        """Let the holder end, and wait for it; this does nothing the second time or in a forked child."""
        if self._connection is None or self._owner != os.getpid():
            return
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # a forked child may hold the connection too
        self._connection.close()
        self._connection = None
        _reap(self._child)


def attach_holder(activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline) -> Attached:
    """Start a holder with the arguments `activate` (`flox activate … --`); it ends with this process at the latest.

    Raises ActivationFailed with Flox's message, or TimedOut.
    """
    child, connection, variables = _started(activate, environ, deadline)
    return Attached(variables, connection, child)


def stay(
    activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline, note: Callable[[Holder], object]
) -> None:
    """Start a holder that outlives this process, until somebody calls `end` with it.

    `note` has to record the holder. It is called before the holder is told to stay. So if we are killed in between, the
    holder is either recorded or ends with us.
    """
    _, connection, _ = _started(activate, environ, deadline)
    with connection:
        note(Holder(*process_id.of(_peer(connection)), process_id.boot_id()))
        connection.sendall(b"s")  # any byte tells it to stay


def is_alive(holder: Holder) -> bool:
    """Return whether the holder still runs; another process may have its pid by now."""
    return holder.boot == process_id.boot_id() and ProcessId(holder.pid, holder.start).lives


def end(holder: Holder) -> None:
    """End a holder that `stay` has started, if it still runs."""
    if not is_alive(holder):
        return
    with ProcessId(holder.pid, holder.start).opened() as descriptor:
        if descriptor is not None:
            pidfd.send(descriptor, signal.SIGTERM)
            pidfd.wait(descriptor, _GRACE)
    with suppress(ChildProcessError):  # in most cases another process has started it
        os.waitpid(holder.pid, os.WNOHANG)


def _started(
    activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline
) -> tuple[int, socket.socket, dict[str, str]]:
    """Start a holder; return the pid of `flox`, the connection to the holder, and the activation's variables."""
    directory = f"{runtime_directory.user_directory(environ.get('XDG_RUNTIME_DIR'))}/flox-{os.urandom(6).hex()}"
    path = f"{directory}/socket"
    runtime_directory.check_socket_path(path)
    runtime_directory.make(directory)
    output = memory_file()
    listener = socket.socket(socket.AF_UNIX)
    child = None
    try:
        listener.bind(path)
        listener.listen(1)
        child = _spawn([*activate, sys.executable, "-I", "-S", "-c", _PROGRAM, path], environ, output)
        connection = _connected(listener, child, output, deadline)
        try:
            return child, connection, _variables(connection, environ, deadline)
        except BaseException:
            connection.close()
            raise
    except BaseException:
        if child is not None:
            _kill(child)
        raise
    finally:
        listener.close()
        os.close(output)
        trees.remove_tree(directory)


def _spawn(argv: Sequence[str], environ: Mapping[str, str], output: int) -> int:
    """Start a program in a session of its own, so that Ctrl-C reaches only us; its standard input is empty."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    defaults = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawn(argv[0], tuple(argv), environ, file_actions=actions, setsid=True, setsigdef=defaults)
    except OSError as refusal:
        raise start_failure("flox", argv[0], refusal) from refusal


def _connected(listener: socket.socket, child: int, output: int, deadline: Deadline) -> socket.socket:
    """Wait for the holder to connect, and pass on what Flox prints in the meantime."""
    position = 0
    while True:
        listener.settimeout(deadline.step(_LOOK))
        try:
            connection = listener.accept()[0]
        except (TimeoutError, BlockingIOError):  # with a timeout of 0 it is BlockingIOError
            connection = None
        position = _tell(output, position)
        if connection is not None:
            return connection
        if _has_ended(child):
            raise ActivationFailed(f"Flox did not activate the environment: {_last_words(output)}")
        if deadline.passed:
            raise _late(deadline)


def _tell(output: int, position: int) -> int:
    """Copy a file from `position` on to our standard error, where people read it; return the new position."""
    while data := os.pread(output, 65536, position):
        position += len(data)
        with suppress(OSError):
            os.write(2, data)
    return position


def _last_words(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, _LAST_WORDS, max(0, size - _LAST_WORDS)).decode(errors="replace")
    return redact(text.rpartition("✘ ERROR: ")[2].strip()) or "it said nothing"


def _variables(connection: socket.socket, environ: Mapping[str, str], deadline: Deadline) -> dict[str, str]:
    """Return the variables that the holder sends; those that every program changes are taken from `environ`."""
    left = deadline.left()
    if left is not None and left <= 0:  # a socket with a timeout of 0 would look like a closed one
        raise _late(deadline)
    connection.settimeout(left)
    try:
        with connection.makefile("rb") as stream:
            size = int(stream.readline() or 0)
            text = os.fsdecode(stream.read(size))
    except (TimeoutError, BlockingIOError):
        raise _late(deadline) from None
    if not size or len(os.fsencode(text)) != size:
        raise ActivationFailed("the process in the activation ended before it had sent its variables")
    connection.settimeout(None)
    sent = dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry[1:])
    own = {name: value for name, value in environ.items() if name in _OF_THE_PROGRAM}
    return {name: value for name, value in sent.items() if name not in _OF_THE_PROGRAM} | own


def _late(deadline: Deadline) -> TimedOut:
    return TimedOut(f"`flox activate` did not end within {deadline.seconds:g} s")


def _peer(connection: socket.socket) -> int:
    """Return the pid of the process at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise HostError("services of Flox can be started beyond this process on Linux only")
    pid: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def _reap(child: int) -> None:
    deadline = Deadline(_GRACE)
    while not _has_ended(child):
        if deadline.passed:
            _kill(child)
        deadline.pause(_SOON)


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # its status has been collected already
        return True
