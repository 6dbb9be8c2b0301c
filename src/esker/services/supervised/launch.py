"""Starting guardian and supervisor: a program that detaches at once, and greets its caller when it serves.

The caller has the lock of the supervisor record, and passes it on: see `record_lock`.
"""

from __future__ import annotations

import _socket  # `socket` builds enumerations, which takes 3 ms
import os
import sys

from esker.declare import project_directory
from esker.host import files, runtime_directory
from esker.host.isolation import SOURCE
from esker.services.supervised.site import LOGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import suppress
    from subprocess import Popen

    from esker.services.supervised.connection import Connection
    from esker.services.supervised.record_lock import RecordLock
    from esker.services.supervised.site import Site
else:
    from esker.host.context import suppress

__all__ = ["Launch", "launch"]

_LONGEST_MESSAGE = 1 << 20
"""Bytes."""

_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from esker.services.supervised.guardian import main
main(sys.argv[2:])
"""


def launch(site: Site, lock: RecordLock) -> Launch:
    """Start guardian and supervisor, without waiting until they serve.

    The supervisor ends if the launch is closed, or its process ends, before a service runs. Raises ServiceError and
    HostError.
    """
    if sys.platform != "linux":
        from esker.errors import ServiceError

        raise ServiceError("services run on Linux only, so far", hint="run them in a container or a virtual machine")
    runtime_directory.check_socket_path(site.socket)
    runtime_directory.make_user(os.path.dirname(site.runtime))
    output = _opened(site)
    try:
        ours, theirs = _socket.socketpair()
        try:
            return Launch(site, ours, output, _begun(site, theirs, output, lock))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
    except BaseException:
        os.close(output)
        raise


class Launch:
    """A guardian and a supervisor that we have started, and that perhaps do not serve yet."""

    def __init__(self, site: Site, connection: _socket.socket, output: int, launcher: Popen[bytes]) -> None:
        self._site = site
        self._connection = connection
        self._output = output
        self._launcher = launcher

    def greeted(self) -> Connection:
        """Wait until the supervisor greets us, and return the connection to it; close the launch.

        Raises ServiceError, with the supervisor's last message, if it does not greet us.
        """
        import socket

        from esker.services.supervised.connection import GREETING_SECONDS, Connection, not_started

        advice = f"see `{self._site.messages}`"
        try:
            self._launcher.wait()
            return Connection(socket.socket(fileno=self._connection.detach()), advice=advice)
        except TimeoutError:
            raise not_started(f"it said nothing for {GREETING_SECONDS:g} s", advice) from None
        except ConnectionError:
            lines = os.pread(self._output, _LONGEST_MESSAGE, 0).decode(errors="replace").strip().splitlines()
            raise not_started(lines[-1] if lines else "it ended without a message", advice) from None
        finally:
            os.close(self._output)


def _opened(site: Site) -> int:
    """Create the file for the supervisor's own messages, owned by the project's owner; return its descriptor."""
    with files.refused("write", site.messages), project_directory.opened(site.dot_flox, *LOGS) as directory:
        name = os.path.basename(site.messages)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        project_directory.give(descriptor, os.fstat(directory))
    return descriptor


def _begun(site: Site, connection: _socket.socket, output: int, lock: RecordLock) -> Popen[bytes]:
    """Start the program that starts the guardian, which detaches from us and writes its messages to `output`."""
    import subprocess

    descriptors = (connection.fileno(), lock.descriptor)
    arguments = (SOURCE, site.socket, site.runtime, site.dot_flox, *map(str, descriptors))
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            start_new_session=True,
            cwd="/",
            env={},
        )
    except OSError as error:
        from esker.host.causes import remedy
        from esker.services.supervised.connection import not_started

        raise not_started((error.strerror or str(error)).lower(), remedy(error.errno)) from None
