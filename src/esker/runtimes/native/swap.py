"""Replacing `.flox/env` as a whole, and putting in order what a process that was killed there has left.

env       the manifest and its lock; whole at every moment, where the file system can exchange two directories
env.new   the copy with the new contents; after the exchange the old one, until it is removed
env.tmp   the old contents, where a file system needs two renames, as Flox does it: between them there is no `env`

What stands in the way of a person is put in order by the next command that changes something.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import HostError
from esker.host import files, trees
from esker.runtimes.native.project_lock import alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["check_swappable", "put_in_order", "swapped"]


def put_in_order(project: str) -> None:
    """Remove what a killed change has left, or put the old contents back where they are the only copy.

    Waits for a change that is under way. Raises HostError where `env` and `env.tmp` both lack a manifest.
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


def check_swappable(project: str) -> None:
    """Raise HostError if `.flox/env` cannot be replaced; the copy that replaces it is made beside it."""
    current = f"{project}/.flox/env"
    with files.refused("change", current):
        for directory in (current, os.path.dirname(current)):
            files.check_writable(directory)


@contextmanager
def swapped(project: str, contents: Mapping[str, bytes]) -> Iterator[None]:
    """Replace `.flox/env` by a copy with new `contents` after the block; the caller works alone on the project.

    The copy is made before the block, so that an `.flox/env` which cannot be changed is an error before anything has
    changed. If anything fails, the copy is removed.
    """
    current, fresh = f"{project}/.flox/env", f"{project}/.flox/env.new"
    try:
        check_swappable(project)
        with files.refused("change", current):
            trees.remove_tree(fresh)  # a killed change may have left it
            _copy(current, fresh)
            for name, content in contents.items():
                files.write_changed(f"{fresh}/{name}", content, mode=0o644)
        yield
        with files.refused("change", current):
            _replace(current, fresh, f"{project}/.flox/env.tmp")
    except BaseException:
        with suppress(OSError):
            trees.remove_tree(fresh)
        raise


def _copy(source: str, target: str) -> None:
    """Copy a directory; raises the first OSError, where `copytree` would gather all of them in one without a number."""
    refusals: list[OSError] = []

    def copy(file: str, copied: str) -> str:
        try:
            return shutil.copy2(file, copied)
        except OSError as refusal:
            refusals.append(refusal)
            raise

    try:
        shutil.copytree(source, target, symlinks=True, copy_function=copy)
    except shutil.Error:
        if refusals:
            raise refusals[0] from None
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
