"""Replacing `.flox/env` as a whole, and putting things in order after a process was killed while it did so.

env       the manifest and its lock; never missing, if the file system can exchange two directories in one step
env.new   the copy that gets the new contents; after the exchange the old contents, until they are removed
env.tmp   the old contents, if the file system cannot exchange directories. Then two renames replace `env`, as in Flox,
          and between them there is no `env`

A killed process may leave `env.new` or `env.tmp`. Each command that reads the manifest to change it, or that prepares
the environment, calls `put_in_order` first.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import HostError
from esker.host import files, trees
from esker.runtimes.native.project_lock import alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["put_in_order", "swapped"]


def put_in_order(project: str) -> None:
    """Remove what a killed change has left, or put the old contents back if there is no `env`.

    Waits for a change that is under way. Raises HostError if neither `env` nor `env.tmp` can be taken as it is.
    """
    current, backup, fresh = (f"{project}/.flox/{name}" for name in ("env", "env.tmp", "env.new"))
    if not (os.path.lexists(backup) or os.path.lexists(fresh)):
        return
    with alone(project), files.refused("put in order", f"{project}/.flox"):
        if _is_whole(current):
            trees.remove_tree(backup)
            trees.remove_tree(fresh)
        elif _is_whole(backup) and not os.path.lexists(current):
            os.rename(backup, current)
        elif os.path.lexists(backup):
            raise HostError(
                f"an earlier change of this environment was cut off: neither `{current}` nor `{backup}` is whole",
                hint="look for your manifest.toml in both, or restore `.flox/env` from version control",
            )


def _is_whole(directory: str) -> bool:
    return os.path.isfile(f"{directory}/manifest.toml")


@contextmanager
def swapped(project: str, contents: Mapping[str, bytes]) -> Iterator[None]:
    """Replace `.flox/env` after the block by a copy in which the files named in `contents` have their new bytes.

    The caller holds `alone(project)`. The copy is made before the block: if `.flox/env` cannot be changed, that is an
    error before the block has changed anything. If the copy or the block fails, the copy is removed.
    """
    current, fresh = f"{project}/.flox/env", f"{project}/.flox/env.new"
    try:
        with files.refused("change", current):
            _check_writable(current)
            trees.remove_tree(fresh)  # a killed change may have left it
            shutil.copytree(current, fresh, symlinks=True)
            for name, content in contents.items():
                files.write_changed(f"{fresh}/{name}", content, mode=0o644)
        yield
        with files.refused("change", current):
            _replace(current, fresh, f"{project}/.flox/env.tmp")
    except BaseException:
        with suppress(OSError):
            trees.remove_tree(fresh)
        raise


def _replace(current: str, fresh: str, backup: str) -> None:
    if files.exchange(fresh, current):
        old = fresh
    else:
        os.rename(current, backup)
        os.rename(fresh, current)
        old = backup
    with suppress(OSError):  # the change is made; the next one removes what is left
        trees.remove_tree(old)


def _check_writable(directory: str) -> None:
    """Raise OSError for a directory that this process may not write; a copy of it would have the same mode."""
    if not os.access(directory, os.W_OK):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), directory)
