"""A lock as it lies on disk: manifest.lock, conda.lock for packages of conda channels, pylock.toml for Python's."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from esker.declare import project_directory
from esker.errors import InvalidLock
from esker.formats import lockfile, pylock
from esker.host import files
from esker.lock.conda.lock_file import CondaLock, conda_lock_path, is_in_conflict, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from esker.declare.declaration import Declaration
    from esker.formats.lockfile import Lockfile
    from esker.formats.pylock import Pylock

__all__ = [
    "Lock",
    "LockFile",
    "check_replaceable",
    "lock_paths",
    "present",
    "put",
    "read_conda_lock",
    "read_lock",
    "read_python_lock",
    "rendered",
    "replaced",
    "write_lock",
]


LockFile = Literal["manifest", "conda", "python"]
"""The files of a lock, by what they lock."""


class Lock(NamedTuple):
    """What a declaration means, version by version and hash by hash."""

    lockfile: Lockfile
    python: Pylock | None
    conda: CondaLock | None = None
    is_partial: bool = False
    """Whether packages are missing that could not be locked. Such a lock is for this machine's use alone: as a
    manifest.lock it would hide from everybody that they are missing."""


def lock_paths(declaration: Declaration) -> dict[LockFile, str]:
    """Return the paths of a lock's files, in the order in which they are made."""
    dot_flox = declaration.dot_flox
    return {
        "manifest": f"{dot_flox}/env/manifest.lock",
        "conda": conda_lock_path(dot_flox),
        "python": f"{dot_flox}/pylock.toml",
    }


def read_lock(declaration: Declaration) -> Lock | None:
    """Return the lock on disk, or None when there is no manifest.lock; raises `InvalidLock` for a damaged file."""
    flox = lock_paths(declaration)["manifest"]
    if not os.path.exists(flox):
        return None
    python, conda = read_python_lock(declaration), read_conda_lock(declaration)
    return Lock(lockfile.parse(files.read(flox), flox), python, conda)


def read_python_lock(declaration: Declaration) -> Pylock | None:
    """Return the pylock.toml on disk, or None when there is none; raises `InvalidLock` for a damaged file."""
    path = lock_paths(declaration)["python"]
    return pylock.parse(files.read_text(path, InvalidLock), path) if os.path.exists(path) else None


def read_conda_lock(declaration: Declaration) -> CondaLock | None:
    """Return the conda.lock on disk; None if there is none, or none that counts.

    None counts if no conda packages are declared, or if a merge has left its marks in the file.
    """
    path = lock_paths(declaration)["conda"]
    if declaration.esker.conda is None or not os.path.exists(path) or is_in_conflict(path):
        return None
    return parse(path)


def check_replaceable(declaration: Declaration, *, is_partial: bool = False) -> None:
    """Raise HostError if the files of a lock cannot be replaced, of a partial one all but the manifest.lock."""
    paths = lock_paths(declaration)
    for path in (paths["python"],) if is_partial else (paths["python"], paths["manifest"]):
        with files.refused("write", path):
            files.check_writable(os.path.dirname(path))


def rendered(lock: Lock) -> dict[LockFile, bytes | None]:
    """Return the contents of a lock's files; None means that there is no such file."""
    python = None
    if lock.python is not None:
        made_from = pylock.inputs(lock.python)
        assert made_from is not None, "a lock that was made here says from what"
        # A lock of an earlier version is not sealed by us: it may hold already what its inputs did not give.
        sealed = pylock.is_sealed(lock.python)
        python = pylock.render(lock.python, made_from, build=made_from.build, sealed=sealed).encode()
    conda = lock.conda.text.encode() if lock.conda is not None else None
    return {"manifest": lockfile.render(lock.lockfile), "conda": conda, "python": python}


def present(declaration: Declaration, lock: Lock) -> dict[LockFile, bytes | None]:
    """Return the contents of the files of `lock`, which is on disk; None means that there is no such file.

    A manifest.lock that lacks packages is not written: here it is as it would be.
    """
    contents: dict[LockFile, bytes | None] = {}
    for kind, path in lock_paths(declaration).items():
        contents[kind] = files.read(path) if os.path.exists(path) else None
    if lock.is_partial:
        contents["manifest"] = lockfile.render(lock.lockfile)
    return contents


def write_lock(declaration: Declaration, lock: Lock) -> None:
    """Write those files of a lock whose contents have changed, all or none; manifest.lock only if it is complete."""
    paths, contents = lock_paths(declaration), rendered(lock)
    with ExitStack() as written:
        for kind in paths:
            if kind != "manifest" or not lock.is_partial:
                written.enter_context(replaced(paths[kind], contents[kind]))


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
