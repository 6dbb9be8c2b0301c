"""Changing an environment: its manifest, its name, and deleting it.

A new manifest is checked, locked and realised beside the old one and then swapped in; if anything fails before, the old
one stays.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.declare import notations
from esker.declare.load import environment_name, load
from esker.errors import HostError, InvalidManifest, ServiceError, UsageError
from esker.formats.tables.reader import Refusal
from esker.host import files, trees
from esker.lock.lock_files import lock_paths, put, rendered
from esker.lock.resolve import resolved_lock
from esker.runtimes.native.preparation import realised
from esker.runtimes.native.project_lock import alone
from esker.services.supervised.supervisor_record import services_are_running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["change_manifest", "check_no_backup", "delete", "manifest_path", "rename"]


def manifest_path(project: str) -> str:
    """Return the path of a project's manifest."""
    return f"{project}/.flox/env/manifest.toml"


def check_no_backup(project: str) -> None:
    """Raise HostError if an earlier change was cut off between taking the old files out and putting the new ones in."""
    backup = f"{project}/.flox/env.tmp"
    if os.path.lexists(backup):
        raise HostError(
            f"a change of this environment was cut off: found its backup at `{backup}`",
            hint=f"put it back: rm -rf {project}/.flox/env && mv {backup} {project}/.flox/env",
        )


def change_manifest(
    project: str,
    text: str,
    settings: Settings,
    *,
    before: str | None = None,
    lock: bool = True,
    progress: Progress,
) -> bool:
    """Make `text` the manifest of `project` and return whether it differs from the present one.

    A lock that is missing is made even if the manifest stays as it is. Without `lock` only the manifest is written. If
    anything fails, manifest, lock and links stay as they were. `before` is the manifest that `text` was made from, by
    default the present one. Raises HostError when the manifest on disk is another one by now.
    """
    check_no_backup(project)
    path = manifest_path(project)
    before = _text(path) if before is None else before
    declaration = load(project, manifest=text)
    if text == before and (not lock or _has_lock(declaration)):
        return False
    with alone(project):
        _check_unchanged(path, before)
        if not lock:
            files.write(path, text.encode(), mode=0o644)
            return True
        interpreters = settings.interpreters()
        lock_made, _ = resolved_lock(declaration, settings, interpreters, progress=progress)
        manifest_lock, pylock = rendered(lock_made)
        with realised(declaration, lock_made, settings, interpreters, progress=progress) as links:
            _check_unchanged(path, before)
            with _swapped(project, {"manifest.toml": text.encode(), "manifest.lock": manifest_lock}):
                put(lock_paths(declaration)[1], pylock)
            links.switch(keep_rollback=False)
    return text != before


def _has_lock(declaration: Declaration) -> bool:
    manifest_lock, pylock = lock_paths(declaration)
    return os.path.exists(manifest_lock) and (declaration.esker.python is None or os.path.exists(pylock))


def rename(project: str, name: str) -> str:
    """Give the environment of `project` another name, and return its old name.

    The next activation makes links of the new name. The old links stay, because programs that run have them on PATH.
    """
    path = f"{project}/.flox/env.json"
    old = environment_name(project)
    try:
        new = notations.name_of_environment(name)
    except Refusal as refusal:
        raise UsageError(refusal.message, hint=refusal.hint) from None
    with alone(project), files.refused("change", path):
        with open(path, encoding="utf-8") as file:
            pointer = json.load(file)
        files.write_changed(path, json.dumps({**pointer, "name": new}, indent=2).encode() + b"\n", mode=0o644)
    return old


def delete(project: str) -> None:
    """Remove the environment of `project` with all that Esker keeps for it; its store paths can be collected then.

    Raises ServiceError while its services run.
    """
    dot_flox = f"{project}/.flox"
    if services_are_running(dot_flox):
        hint = f"stop them first: esker services stop -d {project}"
        raise ServiceError(f"services of `{project}` are running", hint=hint)
    gone = f"{dot_flox}.{os.urandom(6).hex()}.deleted"
    with files.refused("delete", dot_flox):
        os.rename(dot_flox, gone)
        trees.remove_tree(gone)


def _text(path: str) -> str:
    return files.read_text(path, InvalidManifest)


def _check_unchanged(path: str, before: str) -> None:
    if _text(path) != before:
        raise HostError(
            f"`{path}` was changed by somebody else at the same time", hint="nothing was changed here: do it again"
        )


@contextmanager
def _swapped(project: str, contents: Mapping[str, bytes]) -> Iterator[None]:
    """Replace `.flox/env` by a copy with new `contents` after the block, as Flox does: by renaming it.

    The copy is made before the block, so that an `.flox/env` which cannot be changed is an error before anything has
    changed. If anything fails, the copy is removed.
    """
    current, fresh, backup = (f"{project}/.flox/{name}" for name in ("env", "env.new", "env.tmp"))
    try:
        with files.refused("change", current):
            _check_writable(current)
            trees.remove_tree(fresh)  # a killed change may have left it
            shutil.copytree(current, fresh, symlinks=True)
            for name, content in contents.items():
                files.write_changed(f"{fresh}/{name}", content, mode=0o644)
        yield
        with files.refused("change", current):
            os.rename(current, backup)
            os.rename(fresh, current)
            trees.remove_tree(backup)
    except BaseException:
        trees.remove_tree(fresh)
        raise


def _check_writable(directory: str) -> None:
    """Raise OSError for a directory that this process may not write, whose copy it may not write either."""
    if not os.access(directory, os.W_OK):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), directory)
