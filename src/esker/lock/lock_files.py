"""A lock as it lies on disk: manifest.lock, and pylock.toml where Python packages are locked."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.errors import InvalidLock
from esker.formats import lockfile, pylock
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from esker.declare.declaration import Declaration
    from esker.formats.lockfile import Lockfile
    from esker.formats.pylock import Pylock

__all__ = [
    "Lock",
    "check_replaceable",
    "lock_paths",
    "put",
    "read_lock",
    "read_python_lock",
    "rendered",
    "replaced",
    "write_lock",
]


class Lock(NamedTuple):
    """What a declaration means, version by version and hash by hash."""

    lockfile: Lockfile
    python: Pylock | None
    is_partial: bool = False
    """Whether packages are missing that could not be locked. Such a lock is for this machine's use alone: as a
    manifest.lock it would hide from everybody that they are missing."""


def lock_paths(declaration: Declaration) -> tuple[str, str]:
    """Return the paths of a lock's two files: manifest.lock and pylock.toml."""
    return f"{declaration.dot_flox}/env/manifest.lock", f"{declaration.dot_flox}/pylock.toml"


def read_lock(declaration: Declaration) -> Lock | None:
    """Return the lock on disk, or None when there is no manifest.lock; raises `InvalidLock` for a damaged file."""
    flox, _ = lock_paths(declaration)
    if not os.path.exists(flox):
        return None
    python = read_python_lock(declaration)
    return Lock(lockfile.parse(files.read(flox), flox), python)


def read_python_lock(declaration: Declaration) -> Pylock | None:
    """Return the pylock.toml on disk, or None when there is none; raises `InvalidLock` for a damaged file."""
    path = lock_paths(declaration)[1]
    return pylock.parse(files.read_text(path, InvalidLock), path) if os.path.exists(path) else None


def check_replaceable(declaration: Declaration, *, is_partial: bool = False) -> None:
    """Raise HostError if the files of a lock cannot be replaced, of a partial one only the pylock.toml."""
    flox, python = lock_paths(declaration)
    for path in (python,) if is_partial else (python, flox):
        with files.refused("write", path):
            files.check_writable(os.path.dirname(path))


def rendered(lock: Lock) -> tuple[bytes, bytes | None]:
    """Return the contents of manifest.lock and of pylock.toml; None means that there is no pylock.toml."""
    python = None
    if lock.python is not None:
        made_from = pylock.inputs(lock.python)
        assert made_from is not None, "a lock that was made here says from what"
        # A lock of an earlier version is not sealed by us: it may hold already what its inputs did not give.
        sealed = pylock.is_sealed(lock.python)
        python = pylock.render(lock.python, made_from, build=made_from.build, sealed=sealed).encode()
    return lockfile.render(lock.lockfile), python


def write_lock(declaration: Declaration, lock: Lock) -> None:
    """Write those files of a lock whose contents have changed, both or none; manifest.lock only if it is complete."""
    (flox, python), (flox_content, python_content) = lock_paths(declaration), rendered(lock)
    with nullcontext() if lock.is_partial else replaced(flox, flox_content), replaced(python, python_content):
        pass


@contextmanager
def replaced(path: str, content: bytes | None) -> Iterator[None]:
    """Replace the file at `path` after the block; its new content is on the disk before the block.

    None removes the file. If the block fails, the file stays as it is.
    """
    with _directory(path) as directory:
        if content is None or files.holds(path, content, directory=directory):
            yield
            _put(path, content, directory)
            return
        with files.staged(path, content, mode=0o644, directory=directory):
            yield


def put(path: str, content: bytes | None) -> None:
    """Write `content` to the file at `path` unless it holds that already; None removes the file."""
    with _directory(path) as directory:
        _put(path, content, directory)


def _put(path: str, content: bytes | None, directory: int) -> None:
    if content is not None:
        files.write_changed(path, content, mode=0o644, directory=directory)
        return
    with files.refused("remove", path), suppress(FileNotFoundError):
        os.unlink(os.path.basename(path), dir_fd=directory)


def _directory(path: str) -> AbstractContextManager[int]:
    """Open the directory of a lock's file: `.flox/env`, or `.flox` itself."""
    above, name = os.path.split(os.path.dirname(path))
    if name == "env":
        return project_directory.writable(above, name, mode=0o755)
    return project_directory.writable(f"{above}/{name}")
