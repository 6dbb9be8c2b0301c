"""What Linux lets a process say about itself, by prctl(2) and unshare(2); elsewhere these calls do nothing.

Python has no name for them, so they go through ctypes, which costs 0.5 MB: it is loaded when the first is called.
"""

from __future__ import annotations

import os
import sys
from functools import cache, partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

__all__ = [
    "become_subreaper",
    "end_with_parent",
    "ending_with_us",
    "enter_user_namespace",
    "forbid_new_privileges",
    "load",
]

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVILEGES = 38
_NEW_USER = 0x10000000


def load() -> None:
    """Load what the calls need, so that a child between fork and exec need not."""
    if sys.platform == "linux":
        _library()


@cache
def _library() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Become the parent of every orphan among the descendants of this process; kept across exec, not by children."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def end_with_parent(signal: int, parent: int) -> None:
    """Let the kernel send `signal` to this process when the thread that made it ends.

    Forgotten by fork and by a change of user. Raises ProcessLookupError when `parent` had already ended.
    """
    _prctl(_SET_DEATH_SIGNAL, int(signal))
    if os.getppid() != parent:
        raise ProcessLookupError


def ending_with_us(signal: int) -> Callable[[], None]:
    """Return what a child of this thread calls before its program begins, so as to get `signal` when the thread ends.

    It is for `subprocess`, as its `preexec_fn`: all it needs is loaded, so that no lock of another thread stops it.
    """
    load()
    return partial(end_with_parent, signal, os.getpid())


def forbid_new_privileges() -> None:
    """Give up set-user-ID programs and file capabilities, for this process and all it starts."""
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)


def enter_user_namespace(uid: int, gid: int) -> None:
    """Show this process and all it starts `uid` and `gid` as its identity; outside it keeps the one it has.

    Raises OSError where the system refuses user namespaces.
    """
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    if _library().unshare(_NEW_USER):
        raise _failure("unshare")
    for name, text in (
        ("setgroups", "deny"),  # the kernel asks for this before it takes a gid_map
        ("gid_map", f"{gid} {outside_gid} 1"),
        ("uid_map", f"{uid} {outside_uid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _prctl(option: int, argument: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    zero = ctypes.c_ulong(0)  # the rest of a variadic call is read as unsigned long, and must be zero
    if _library().prctl(option, ctypes.c_ulong(argument), zero, zero, zero):
        raise _failure("prctl")


def _failure(call: str) -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
