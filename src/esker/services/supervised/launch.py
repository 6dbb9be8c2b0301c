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
from esker.host.spawn import REMEDIES
from esker.services.supervised.connection import GREETING_SECONDS, Connection, not_started

if TYPE_CHECKING:
    from esker.services.supervised.site import Site

__all__ = ["launch"]

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
    messages = site.messages
    ours, theirs = socket.socketpair()
    try:
        _begin(site, theirs, _opened(site, messages))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    advice = f"see `{messages}`"
    try:
        return Connection(ours, advice=advice)
    except TimeoutError:
        raise not_started(f"it said nothing for {GREETING_SECONDS:g} s", advice) from None
    except ConnectionError:
        with open(messages, errors="replace") as file:
            lines = file.read().strip().splitlines()
        raise not_started(lines[-1] if lines else "it ended without a message", advice) from None


def _opened(site: Site, messages: str) -> int:
    """Create the file for the supervisor's own messages, owned by the project's owner; return its descriptor."""
    with files.refused("write", messages), project_directory.opened(site.dot_flox, "log", "services") as directory:
        name = os.path.basename(messages)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        project_directory.give(descriptor, os.stat(site.dot_flox))
    return descriptor


def _begin(site: Site, connection: socket.socket, output: int) -> None:
    """Start the guardian, which detaches from us; close `output`."""
    import subprocess

    arguments = (SOURCE, site.socket, site.runtime, site.logs, site.dot_flox, str(connection.fileno()))
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
        raise not_started((error.strerror or str(error)).lower(), REMEDIES.get(error.errno or 0)) from None
    finally:
        os.close(output)
    launcher.wait()
