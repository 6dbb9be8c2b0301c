"""Background work: it goes on, in a detached process, after this process has ended or become another program."""

from __future__ import annotations

import os
import sys

from esker.host.isolation import SOURCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from esker.errors import HostError

__all__ = ["SOURCE", "begin", "begin_anew", "beginning_anew"]

_ANEW = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from esker.host.background import begin
work = getattr(__import__(sys.argv[2], fromlist=[sys.argv[3]]), sys.argv[3])
arguments = json.load(sys.stdin)
print(begin(lambda: work(**arguments)))
"""
_LONGEST_PID = 20


def begin(work: Callable[[], object]) -> int:
    """Do `work` in a fork of this process and return its pid; only for a process with a single thread.

    The fork leads a session of its own and keeps the working directory, but none of our open files.
    """
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _leave(work, writing)
        os.waitpid(child, 0)
        pid = os.read(reading, _LONGEST_PID)
    except OSError as error:
        raise _refused((error.strerror or str(error)).lower()) from error
    finally:
        os.close(reading)
        os.close(writing)
    return int(pid)


def begin_anew(work: Callable[..., object], arguments: Mapping[str, Any]) -> int:
    """Call `work` in a new interpreter and return its pid; any thread of any program may do this.

    `work` is a top-level function of a module, and `arguments` are its keyword arguments, which must fit into JSON.
    This takes 30 ms more than `begin`.
    """
    import json

    from esker.host.process import run

    return int(run(_anew(work), environ=os.environ, stdin=json.dumps(arguments)).stdout)


def beginning_anew(work: Callable[..., object], arguments: Mapping[str, Any]) -> Callable[[], int]:
    """Do the same as `begin_anew`, but without waiting: return a function that waits, and returns the pid.

    It must be called, because until then this process has a child that its program does not know of. The arguments must
    fit into a pipe.
    """
    import json
    import subprocess
    from contextlib import suppress

    try:
        interpreter = subprocess.Popen(_anew(work), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise _refused((error.strerror or str(error)).lower()) from error
    assert interpreter.stdin is not None
    with suppress(BrokenPipeError), interpreter.stdin as given:
        given.write(json.dumps(arguments).encode())

    def begun() -> int:
        assert interpreter.stdout is not None
        with interpreter.stdout as said:
            pid = said.read().strip()
        interpreter.wait()
        if not pid.isdigit():
            raise _refused(f"the interpreter exited with status {interpreter.returncode}")
        return int(pid)

    return begun


def _refused(cause: str) -> HostError:
    from esker.errors import HostError  # here, because building its classes takes 1 ms

    return HostError(f"cannot start a process: {cause}")


def _anew(work: Callable[..., object]) -> list[str]:
    return [sys.executable, "-ISc", _ANEW, SOURCE, work.__module__, work.__name__]


def _leave(work: Callable[[], object], report: int) -> None:
    """Fork again and end at once, so that the grandchild, which does the work, is not a child of our caller.

    The grandchild writes its pid to the descriptor `report`.
    """
    try:
        if os.fork():
            return
        os.setsid()
        os.write(report, b"%d" % os.getpid())
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        work()
    finally:
        os._exit(0)
