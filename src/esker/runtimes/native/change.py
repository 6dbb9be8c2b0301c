"""Changing an environment: its manifest, its name, and deleting it.

A new manifest is checked, locked and realised beside the old one and then swapped in; if anything fails before, the old
one stays.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from esker.declare import notations, project_directory
from esker.declare.load import environment_name, load
from esker.declare.template import GONE
from esker.errors import HostError, InvalidManifest, ServiceError, UsageError
from esker.formats.manifest import parse
from esker.formats.tables.reader import Refusal
from esker.host import files, scratch, trees
from esker.lock.lock_files import lock_paths, rendered, replaced
from esker.lock.packages import choice
from esker.lock.resolve import resolved_lock
from esker.runtimes.native.links import check_installable
from esker.runtimes.native.preparation import realised
from esker.runtimes.native.project_lock import alone
from esker.runtimes.native.swap import check_swappable, put_in_order, swapped
from esker.services.supervised.supervisor_record import services_are_running

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["change_manifest", "delete", "manifest_path", "rename"]


def manifest_path(project: str) -> str:
    """Return the path of a project's manifest."""
    return f"{project}/.flox/env/manifest.toml"


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

    A lock that is missing is made even if the manifest stays as it is. Without `lock` only the manifest is written.
    Packages of `[install]` that the change leaves alone need not be here. If anything fails, manifest, lock and links
    stay as they were. `before` is the manifest that `text` was made from, by default the present one. Raises HostError
    when the manifest on disk is another one by now.
    """
    put_in_order(project)
    path = manifest_path(project)
    before = _text(path) if before is None else before
    declaration = load(project, manifest=text)
    if text == before and (not lock or _has_lock(declaration)):
        return False
    with alone(project):
        _check_unchanged(path, before)
        if not lock:
            with project_directory.writable(f"{project}/.flox", "env", mode=0o755) as directory:
                files.write(path, text.encode(), mode=0o644, directory=directory)
            return True
        # Before the work, which may be long.
        check_swappable(project)
        check_installable(declaration, settings)
        interpreters = settings.interpreters(progress)
        lock_made, _ = resolved_lock(declaration, settings, interpreters, progress=progress)
        manifest_lock, pylock = rendered(lock_made)
        kept = _unchanged_packages(declaration, before)
        with realised(declaration, lock_made, settings, interpreters, dispensable=kept, progress=progress) as links:
            _check_unchanged(path, before)
            contents = {"manifest.toml": text.encode(), "manifest.lock": manifest_lock}
            with replaced(lock_paths(declaration)[1], pylock), swapped(project, contents):
                links.switch(keep_rollback=False)  # it may fail, for example on a full disk; the two others now cannot
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
        text = json.dumps({**pointer, "name": new}, indent=2) + "\n"
        with project_directory.opened(f"{project}/.flox") as directory:
            files.write_changed(path, text.encode(), mode=0o644, directory=directory)
    return old


def delete(project: str) -> None:
    """Remove the environment of `project` with all that Esker keeps for it; its store paths can be collected then.

    Raises ServiceError while its services run.
    """
    dot_flox = f"{project}/.flox"
    if services_are_running(dot_flox):
        hint = f"stop them first: esker services stop -d {project}"
        raise ServiceError(f"services of `{project}` are running", hint=hint)
    gone = f"{GONE}{os.urandom(6).hex()}"
    with files.refused("delete", dot_flox), project_directory.opened_project(project) as directory:
        scratch.clear(project, GONE)
        os.rename(".flox", gone, src_dir_fd=directory, dst_dir_fd=directory)
        trees.remove_tree(f"{project}/{gone}", directory=directory)


def _text(path: str) -> str:
    return files.read_text(path, InvalidManifest)


def _unchanged_packages(declaration: Declaration, before: str) -> list[str]:
    """Return the names of the packages of `[install]` that the text of the manifest `before` declares too."""
    try:
        old = parse(before)
    except InvalidManifest:
        return []
    chosen, now = {name: choice(package, old) for name, package in old.install.items()}, declaration.manifest
    return [name for name, package in now.install.items() if chosen.get(name) == choice(package, now)]


def _check_unchanged(path: str, before: str) -> None:
    if _text(path) != before:
        raise HostError(
            f"`{path}` was changed by somebody else at the same time", hint="nothing was changed here: do it again"
        )
