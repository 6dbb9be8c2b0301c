"""Settings that a Linux process makes for itself, by prctl(2) and unshare(2); prctl does nothing on other systems.

Python does not offer these calls, so they go through ctypes. That costs 0.5 MB, so it is loaded at the first call.
"""

from __future__ import annotations

import os
import sys

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
    """Load ctypes now, so that a child need not load it between fork and exec."""
    if sys.platform == "linux":
        _library()


_loaded: list[ctypes.CDLL] = []


def _library() -> ctypes.CDLL:
    import ctypes

    if not _loaded:
        _loaded.append(ctypes.CDLL(None, use_errno=True))
    return _loaded[0]


def become_subreaper() -> None:
    """Become the parent of orphans among the descendants of this process; kept by exec, not inherited."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def end_with_parent(signal: int, parent: int) -> None:
    """Let the kernel send `signal` to this process when the thread that made it ends.

    A fork or a change of user cancels this. Raises ProcessLookupError if `parent` has already ended.
    """
    _prctl(_SET_DEATH_SIGNAL, int(signal))
    if os.getppid() != parent:
        raise ProcessLookupError


def ending_with_us(signal: int) -> Callable[[], None]:
    """Return a `preexec_fn` for `subprocess`: the child that calls it gets `signal` when this thread ends.

    Everything that it needs is loaded beforehand, so that the child never waits for a lock of another thread.
    """
    load()
    parent = os.getpid()
    return lambda: end_with_parent(signal, parent)


def forbid_new_privileges() -> None:
    """Make set-user-ID bits and file capabilities ineffective, for this process and everything that it starts."""
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)


def enter_user_namespace(uid: int, gid: int) -> None:
    """Enter a user namespace, where this process and everything that it starts see themselves as `uid` and `gid`.

    For the rest of the system its identity stays the same. Raises OSError when the system refuses user namespaces.
    """
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    if _library().unshare(_NEW_USER):
        raise _failure("unshare")
    for name, text in (
        ("setgroups", "deny"),  # the kernel accepts no gid_map before this
        ("gid_map", f"{gid} {outside_gid} 1"),
        ("uid_map", f"{uid} {outside_uid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _prctl(option: int, argument: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    zero = ctypes.c_ulong(0)  # the kernel reads the unused arguments as unsigned long, and requires zeros
    if _library().prctl(option, ctypes.c_ulong(argument), zero, zero, zero):
        raise _failure("prctl")


def _failure(call: str) -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
