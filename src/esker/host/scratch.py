"""Temporary directories that outlive no crash: the next command removes those of processes that were killed.

Each is held by a flock(2) as long as its process lives, however that ends, so one that nobody holds is nobody's any
more. Those for temporary files lie in one directory of this user's below TMPDIR.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import HostError
from esker.host import trees
from esker.host.runtime_directory import is_private

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["clear", "made_in", "scratch"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch(kind: str, *, kept: float = 0.0) -> Iterator[str]:
    """Give an empty directory for temporary files, as `made_in` does; `kind` begins its name.

    Raises HostError when there is no place for it.
    """
    try:
        made, held = _made(_top(), f"{kind}-", kept)
    except OSError as refusal:
        reason = (refusal.strerror or str(refusal)).lower()
        message = f"there is no directory for temporary files that can be written: {reason}"
        raise HostError(message, hint="make room in /tmp, or name another one in TMPDIR") from refusal
    with _removed_after(made, held):
        yield made


@contextmanager
def made_in(top: str, prefix: str, *, kept: float = 0.0) -> Iterator[str]:
    """Give an empty directory in `top`, which is removed after the block, unless it is somewhere else by then.

    Directories of the same prefix that killed processes left are removed first, as `clear` does. Raises OSError.
    """
    made, held = _made(top, prefix, kept)
    with _removed_after(made, held):
        yield made


def clear(top: str, prefix: str, *, kept: float = 0.0) -> None:
    """Remove the directories in `top` whose name begins with `prefix` and that no process holds.

    Those that were changed less than `kept` seconds ago stay. What cannot be removed stays too.
    """
    for name in os.listdir(top):
        path = f"{top}/{name}"
        if not name.startswith(prefix) or time.time() - os.lstat(path).st_mtime < kept:
            continue
        with suppress(OSError):
            held = _held(path)
            if held is not None:
                with _removed_after(path, held):
                    pass


def _top() -> str:
    # Not `tempfile.gettempdir`, which tries the directory by a file of its own that a kill leaves behind.
    above = os.environ.get("TMPDIR", "/tmp")  # noqa: S108  (the directory in it is ours alone, or refused)
    path = f"{above if os.path.isabs(above) else '/tmp'}/esker-scratch-{os.geteuid()}"  # noqa: S108
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if not is_private(path):
        message = f"cannot use `{path}` for temporary files: another user made it, or may write there"
        raise HostError(message, hint="set TMPDIR to a directory of yours")
    return path


def _made(top: str, prefix: str, kept: float) -> tuple[str, int]:
    descriptor = os.open(top, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # so that nobody removes what is made and not held yet
        clear(top, prefix, kept=kept)
        made = tempfile.mkdtemp(prefix=prefix, dir=top)
        held = _held(made)
    finally:
        os.close(descriptor)
    assert held is not None
    return made, held


def _held(path: str) -> int | None:
    """Return a descriptor that holds the directory, or None while another process holds it."""
    descriptor = os.open(path, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _removed_after(path: str, held: int) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # what cannot be removed now is left to the next command
            trees.remove_tree(path)
        os.close(held)
