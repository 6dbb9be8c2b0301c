"""A process that stays inside an activation of Flox's, tells what its variables are, and leaves when it should.

Flox keeps an activation, and the services in it, for as long as a process is attached to it, and what it prints for
shells is not made to be read. So a small program is run as `flox activate -- PROGRAM`: it connects to a socket of ours,
sends its environment as the kernel gave it, and stays until the connection ends, which also happens when we are killed.
A detached one is told to stay beyond that, until a signal. Nothing is inherited, so nothing that a hook leaves running
can keep a pipe open; what the activation prints goes into a file in memory and from there to our standard error.
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

__all__ = ["Attached", "attach", "end", "is_alive", "stay"]

_PROGRAM = """\
import os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as home:
    home.connect(sys.argv[1])
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read()
    except OSError:
        given = b"".join(name + b"=" + value + b"\\0" for name, value in os.environb.items())
    home.sendall(b"%d\\n%b" % (len(given), given))
    stay = home.recv(1)
os.chdir("/")
while stay:
    signal.pause()
"""
_LOOK = 0.05
_SOON = 0.005
_GRACE = 5.0
_LAST_WORDS = 2000
_OF_THE_PROGRAM = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})


class Attached:
    """A process in an activation, which leaves when `leave` is called or this process ends."""

    def __init__(self, variables: Mapping[str, str], connection: socket.socket, child: int) -> None:
        self.variables = dict(variables)
        """Every variable of the activation."""
        self._connection: socket.socket | None = connection
        self._child = child
        self._owner = os.getpid()

    def leave(self) -> None:
        """Let the process go, and wait until it has; a second time, or in a forked child, nothing happens."""
        if self._connection is None or self._owner != os.getpid():
            return
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # a forked child may hold the connection too
        self._connection.close()
        self._connection = None
        _reap(self._child)


def attach(activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline) -> Attached:
    """Run `activate` (`flox activate … --`) around a process that stays while we do, and return it.

    Raises ActivationFailed with what Flox said, or TimedOut.
    """
    child, connection, variables = _started(activate, environ, deadline)
    return Attached(variables, connection, child)


def stay(
    activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline, note: Callable[[Holder], object]
) -> None:
    """As `attach`, but the process stays when we end, until `end` is called by whoever knows it.

    `note` is told of it before it stays: should we be killed here, either it is known or it ends with us.
    """
    _, connection, _ = _started(activate, environ, deadline)
    with connection:
        note(Holder(*process_id.of(_peer(connection)), process_id.boot_id()))
        connection.sendall(b"s")


def is_alive(holder: Holder) -> bool:
    """Whether this very process still runs."""
    return holder.boot == process_id.boot_id() and ProcessId(holder.pid, holder.start).lives


def end(holder: Holder) -> None:
    """End a process that stays, if it still is that process."""
    if not is_alive(holder):
        return
    with ProcessId(holder.pid, holder.start).opened() as descriptor:
        if descriptor is not None:
            pidfd.send(descriptor, signal.SIGTERM)
            pidfd.wait(descriptor, _GRACE)
    with suppress(ChildProcessError):  # mostly somebody else's child
        os.waitpid(holder.pid, os.WNOHANG)


def _started(
    activate: Sequence[str], environ: Mapping[str, str], deadline: Deadline
) -> tuple[int, socket.socket, dict[str, str]]:
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
    """Start a program in a session of its own, so that Ctrl-C is ours alone; it reads nothing."""
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
    """Wait for the program to connect, and pass on what is said meanwhile."""
    told = 0
    while True:
        listener.settimeout(deadline.step(_LOOK))
        try:
            connection = listener.accept()[0]
        except (TimeoutError, BlockingIOError):  # the latter when no time is left
            connection = None
        told = _tell(output, told)
        if connection is not None:
            return connection
        if _has_ended(child):
            raise ActivationFailed(f"Flox did not activate the environment: {_last_words(output)}")
        if deadline.passed:
            raise _late(deadline)


def _tell(output: int, told: int) -> int:
    """Write to our standard error what is new in a file, as a hook's output is for people; return how far that is."""
    while data := os.pread(output, 65536, told):
        told += len(data)
        with suppress(OSError):
            os.write(2, data)
    return told


def _last_words(output: int) -> str:
    size = os.fstat(output).st_size
    said = os.pread(output, _LAST_WORDS, max(0, size - _LAST_WORDS)).decode(errors="replace")
    return redact(said.rpartition("✘ ERROR: ")[2].strip()) or "it said nothing"


def _variables(connection: socket.socket, environ: Mapping[str, str], deadline: Deadline) -> dict[str, str]:
    """Read the program's environment; what every program changes by merely running is as it was."""
    left = deadline.left()
    if left is not None and left <= 0:  # a socket without any time reads as one that has ended
        raise _late(deadline)
    connection.settimeout(left)
    try:
        with connection.makefile("rb") as stream:
            size = int(stream.readline() or 0)
            given = os.fsdecode(stream.read(size))
    except (TimeoutError, BlockingIOError):
        raise _late(deadline) from None
    if not size or len(os.fsencode(given)) != size:
        raise ActivationFailed("the process in the activation ended before it had sent its variables")
    connection.settimeout(None)
    found = dict(entry.split("=", 1) for entry in given.split("\0") if "=" in entry[1:])
    own = {name: value for name, value in environ.items() if name in _OF_THE_PROGRAM}
    return {name: value for name, value in found.items() if name not in _OF_THE_PROGRAM} | own


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
    except ChildProcessError:  # somebody else has asked for its status
        return True
