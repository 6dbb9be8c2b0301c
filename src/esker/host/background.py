"""Work that goes on after this process has ended or become another program, in a process that is nobody's child."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from esker.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["SOURCE", "begin", "begin_anew"]

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where this Esker lies: what a new interpreter needs to find it, and what tells two of them apart."""
_ANEW = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from esker.host.background import begin
work = getattr(__import__(sys.argv[2], fromlist=[sys.argv[3]]), sys.argv[3])
given = json.load(sys.stdin)
print(begin(lambda: work(**given)))
"""
_LONGEST_PID = 20


def begin(work: Callable[[], object]) -> int:
    """Do `work` in a copy of this process and return its pid; for a process that has but one thread.

    The copy leads a session of its own, in our directory, and has nothing of ours open.
    """
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _leave(work, writing)
        os.waitpid(child, 0)
        pid = os.read(reading, _LONGEST_PID)
    except OSError as error:
        raise HostError(f"cannot start a process: {(error.strerror or str(error)).lower()}") from error
    finally:
        os.close(reading)
        os.close(writing)
    return int(pid)


def begin_anew(work: Callable[..., object], given: Mapping[str, Any]) -> int:
    """Do `work`, a function of a module, in a new interpreter and return its pid; `given` are its arguments, for JSON.

    It costs 30 ms more than `begin`, and needs nothing of the process that asks: any thread of any program may.
    """
    from esker.host.process import run

    argv = [sys.executable, "-ISc", _ANEW, SOURCE, work.__module__, work.__name__]
    return int(run(argv, environ=os.environ, stdin=json.dumps(given)).stdout)


def _leave(work: Callable[[], object], told: int) -> None:
    """Let a child of ours, whose parent ends at once, do the work."""
    try:
        if os.fork():
            return
        os.setsid()
        os.write(told, b"%d" % os.getpid())
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        work()
    finally:
        os._exit(0)
