"""Starting guardian and supervisor: a program that detaches at once, and greets its caller when it serves."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.errors import ServiceError
from esker.host import files, runtime_directory
from esker.host.background import SOURCE
from esker.host.causes import remedy
from esker.services.supervised.connection import GREETING_SECONDS, Connection, not_started
from esker.services.supervised.site import LOGS

if TYPE_CHECKING:
    from esker.services.supervised.site import Site

__all__ = ["launch"]

_LONGEST_MESSAGE = 1 << 20
"""Bytes."""

_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from esker.services.supervised.guardian import main
main(sys.argv[2:])
"""


def launch(site: Site) -> Connection:
    """Start guardian and supervisor, and return a connection to the supervisor.

    Raises ServiceError, with the supervisor's last message, if the supervisor does not greet us.
    """
    if sys.platform != "linux":
        raise ServiceError("services run on Linux only, so far", hint="run them in a container or a virtual machine")
    runtime_directory.check_socket_path(site.socket)
    runtime_directory.make_user(os.path.dirname(site.runtime))
    output = _opened(site)
    try:
        return _started(site, output, advice=f"see `{site.messages}`")
    finally:
        os.close(output)


def _started(site: Site, output: int, *, advice: str) -> Connection:
    ours, theirs = socket.socketpair()
    try:
        _begin(site, theirs, output)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return Connection(ours, advice=advice)
    except TimeoutError:
        raise not_started(f"it said nothing for {GREETING_SECONDS:g} s", advice) from None
    except ConnectionError:
        lines = os.pread(output, _LONGEST_MESSAGE, 0).decode(errors="replace").strip().splitlines()
        raise not_started(lines[-1] if lines else "it ended without a message", advice) from None


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


def _begin(site: Site, connection: socket.socket, output: int) -> None:
    """Start the guardian, which detaches from us and writes its messages to `output`."""
    import subprocess

    arguments = (SOURCE, site.socket, site.runtime, site.dot_flox, str(connection.fileno()))
    try:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(connection.fileno(),),
            start_new_session=True,
            cwd="/",
            env={},
        )
    except OSError as error:
        raise not_started((error.strerror or str(error)).lower(), remedy(error.errno)) from None
    launcher.wait()
