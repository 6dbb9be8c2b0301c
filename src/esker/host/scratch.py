"""Temporary directories that outlive no crash: the next command removes those of processes that were killed.

They lie in one directory of this user's below TMPDIR. Each is held by a flock(2) as long as its process lives, however
that ends, so a directory without one is nobody's any more.
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

__all__ = ["scratch"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch(kind: str, *, kept: float = 0.0) -> Iterator[str]:
    """Give an empty directory, which is removed after the block; `kind` begins its name.

    Directories of the same kind that killed processes left are removed first, unless they were changed less than `kept`
    seconds ago. Raises HostError when there is no place for temporary files.
    """
    try:
        with _top() as (top, path):
            fcntl.flock(top, fcntl.LOCK_EX)  # so that nobody removes what is being made
            _clear(path, kind, kept)
            made = tempfile.mkdtemp(prefix=f"{kind}-", dir=path)
            held = _held(made)
    except OSError as refusal:
        reason = (refusal.strerror or str(refusal)).lower()
        message = f"there is no directory for temporary files that can be written: {reason}"
        raise HostError(message, hint="make room in /tmp, or name another one in TMPDIR") from refusal
    assert held is not None
    try:
        yield made
    finally:
        with suppress(OSError):  # what cannot be removed now is removed by the next command of this kind
            trees.remove_tree(made)
        os.close(held)


@contextmanager
def _top() -> Iterator[tuple[int, str]]:
    # Not `tempfile.gettempdir`, which tries the directory by a file of its own that a kill leaves behind.
    above = os.environ.get("TMPDIR", "/tmp")  # noqa: S108  (the directory in it is ours alone, or refused)
    path = f"{above if os.path.isabs(above) else '/tmp'}/esker-scratch-{os.geteuid()}"  # noqa: S108
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if not is_private(path):
        message = f"cannot use `{path}` for temporary files: another user made it, or may write there"
        raise HostError(message, hint="set TMPDIR to a directory of yours")
    descriptor = os.open(path, _DIRECTORY)
    try:
        yield descriptor, path
    finally:
        os.close(descriptor)


def _clear(top: str, kind: str, kept: float) -> None:
    for name in os.listdir(top):
        path = f"{top}/{name}"
        if not name.startswith(f"{kind}-") or time.time() - os.lstat(path).st_mtime < kept:
            continue
        held = _held(path)
        if held is not None:
            with suppress(OSError):
                trees.remove_tree(path)
            os.close(held)


def _held(path: str) -> int | None:
    """Return a descriptor that holds the directory, or None while another process holds it."""
    descriptor = os.open(path, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
