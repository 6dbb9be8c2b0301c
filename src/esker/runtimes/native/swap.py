"""Replacing `.flox/env` as a whole, and putting things in order after a process was killed while it did so.

env       the manifest and its lock; never missing, if the file system can exchange two directories in one step
env.new   the copy that gets the new contents; after the exchange the old contents, until they are removed
env.tmp   the old contents, if the file system cannot exchange directories. Then two renames replace `env`, as in Flox,
          and between them there is no `env`

A killed process may leave `env.new` or `env.tmp`. Each command that reads the manifest to change it, or that prepares
the environment, calls `put_in_order` first.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.errors import HostError
from esker.host import files, trees
from esker.runtimes.native.project_lock import alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["check_swappable", "put_in_order", "swapped"]


def put_in_order(project: str) -> None:
    """Remove what a killed change has left, or put the old contents back if there is no `env`.

    Waits for a change that is under way. Raises HostError if neither `env` nor `env.tmp` can be taken as it is.
    """
    current, backup, fresh = (f"{project}/.flox/{name}" for name in ("env", "env.tmp", "env.new"))
    if not (os.path.lexists(backup) or os.path.lexists(fresh)):
        return
    with (
        alone(project),
        files.refused("put in order", f"{project}/.flox"),
        project_directory.opened(f"{project}/.flox") as dot_flox,
    ):
        if _is_whole(current, dot_flox):
            trees.remove_tree(backup, directory=dot_flox)
            trees.remove_tree(fresh, directory=dot_flox)
        elif _is_whole(backup, dot_flox) and not _exists("env", dot_flox):
            os.rename("env.tmp", "env", src_dir_fd=dot_flox, dst_dir_fd=dot_flox)
        elif _exists("env.tmp", dot_flox):
            raise HostError(
                f"an earlier change of this environment was cut off: neither `{current}` nor `{backup}` is whole",
                hint="look for your manifest.toml in both, or restore `.flox/env` from version control",
            )


def _exists(name: str, dot_flox: int) -> bool:
    try:
        os.lstat(name, dir_fd=dot_flox)
    except FileNotFoundError:
        return False
    return True


def _is_whole(path: str, dot_flox: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(f"{os.path.basename(path)}/manifest.toml", dir_fd=dot_flox).st_mode)
    except OSError:
        return False


def check_swappable(project: str) -> None:
    """Raise HostError if `.flox/env` cannot be replaced; the copy that replaces it is made beside it."""
    current = f"{project}/.flox/env"
    with files.refused("change", current):
        for directory in (current, os.path.dirname(current)):
            files.check_writable(directory)


@contextmanager
def swapped(project: str, contents: Mapping[str, bytes]) -> Iterator[None]:
    """Replace `.flox/env` after the block by a copy in which the files named in `contents` have their new bytes.

    The caller holds `alone(project)`. The copy is made before the block: if `.flox/env` cannot be changed, that is an
    error before the block has changed anything. If the copy or the block fails, the copy is removed. All happens in the
    `.flox` that was there at the beginning.
    """
    current, fresh = f"{project}/.flox/env", f"{project}/.flox/env.new"
    with ExitStack() as stack:
        with files.refused("change", current):
            dot_flox = stack.enter_context(project_directory.opened(f"{project}/.flox"))
        try:
            check_swappable(project)
            with files.refused("change", current):
                with project_directory.opened_within(dot_flox, current) as directory:
                    trees.remove_tree(fresh, directory=dot_flox)  # a killed change may have left it
                    trees.copy_tree(directory, fresh, directory=dot_flox)
                with project_directory.opened_within(dot_flox, fresh) as directory:
                    for name, content in contents.items():
                        files.write_changed(f"{fresh}/{name}", content, mode=0o644, directory=directory)
            yield
            with files.refused("change", current):
                _replace(current, fresh, f"{project}/.flox/env.tmp", dot_flox)
        except BaseException:
            with suppress(OSError):
                trees.remove_tree(fresh, directory=dot_flox)
            raise


def _replace(current: str, fresh: str, backup: str, dot_flox: int) -> None:
    if files.exchange(fresh, current, directory=dot_flox):
        old = fresh
    else:
        os.rename("env", "env.tmp", src_dir_fd=dot_flox, dst_dir_fd=dot_flox)
        os.rename("env.new", "env", src_dir_fd=dot_flox, dst_dir_fd=dot_flox)
        old = backup
    with suppress(OSError):  # the change is made; the next one removes what is left
        trees.remove_tree(old, directory=dot_flox)
