"""Temporary directories; if a process is killed, the next command removes the directories that it left.

A process holds a flock(2) on each of its directories. The kernel releases the lock when the process ends, in whatever
way, so a directory without a lock was left behind. `scratch` makes its directories in one directory of this user,
`esker-scratch-UID` below TMPDIR.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import HostError
from esker.host import trees
from esker.host.runtime_directory import is_private, outer_uid

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["clear", "made_in", "scratch"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch(kind: str, *, kept: float = 0.0) -> Iterator[str]:
    """Give an empty directory below TMPDIR, as `made_in` does; its name begins with `kind`.

    What killed processes left stays for `kept` seconds. Raises HostError if no directory can be made.
    """
    try:
        made, held = _made(_top(), f"{kind}-", kept)
    except OSError as refusal:
        reason = (refusal.strerror or str(refusal)).lower()
        message = f"temporary files cannot be written into `{_above()}`: {reason}"
        is_named = os.environ.get("TMPDIR") == _above()
        other = "name another directory in TMPDIR, or unset it" if is_named else "name another directory in TMPDIR"
        raise HostError(message, hint=f"make room there, or {other}") from refusal
    with _removed_after(made, held):
        yield made


@contextmanager
def made_in(top: str, prefix: str, *, directory: int | None = None) -> Iterator[str]:
    """Give an empty directory in `top`, and remove it after the block, unless the block has renamed it.

    Before that, this removes what killed processes left under the same prefix, as `clear` does. With `directory`, a
    descriptor of `top`, the path of `top` is not used. Raises OSError.
    """
    made, held = _made(top, prefix, 0.0, directory)
    with _removed_after(made, held, directory):
        yield made


def clear(top: str, prefix: str, *, kept: float = 0.0, directory: int | None = None) -> None:
    """Remove the directories in `top` whose names begin with `prefix`, if no process holds them.

    A directory that was changed less than `kept` seconds ago stays, and so does one that cannot be removed.
    """
    for name in os.listdir(top if directory is None else directory):
        if not name.startswith(prefix):
            continue
        path = f"{top}/{name}"
        place = path if directory is None else name
        with suppress(OSError):  # the process that holds it may remove it at this moment
            status = os.stat(place, dir_fd=directory, follow_symlinks=False)
            held = None if time.time() - status.st_mtime < kept else _held(place, directory)
            if held is not None:
                with _removed_after(path, held, directory):
                    pass


def _top() -> str:
    # Not `tempfile.gettempdir`, which tries the directory by a file of its own that a kill leaves behind.
    path = f"{_above()}/esker-scratch-{outer_uid(os.geteuid())}"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if not is_private(path):
        message = f"cannot use `{path}` for temporary files: another user made it, or may write there"
        raise HostError(message, hint="set TMPDIR to a directory of yours")
    return path


def _above() -> str:
    named = os.environ.get("TMPDIR", "")
    return named if os.path.isabs(named) else "/tmp"  # noqa: S108  (the directory in it is ours alone, or refused)


def _made(top: str, prefix: str, kept: float, directory: int | None = None) -> tuple[str, int]:
    """Return the path of a new directory, and the descriptor that holds it."""
    descriptor = os.open(top if directory is None else ".", _DIRECTORY, dir_fd=directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # nobody may clear our directory before we hold it
        clear(top, prefix, kept=kept, directory=directory)
        name = f"{prefix}{os.urandom(6).hex()}"
        os.mkdir(name, 0o700, dir_fd=descriptor)
        held = _held(name, descriptor)
    finally:
        os.close(descriptor)
    assert held is not None
    return f"{top}/{name}", held


def _held(path: str, directory: int | None) -> int | None:
    """Return a descriptor that holds the directory, or None while another process holds it."""
    descriptor = os.open(path, _DIRECTORY, dir_fd=directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _removed_after(path: str, held: int, directory: int | None = None) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # what cannot be removed now is left to the next command
            trees.remove_tree(path, directory=directory)
        os.close(held)
