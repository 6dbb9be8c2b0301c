"""A change of the manifest: checked, locked and realised beside the old one, then swapped in, or nothing is changed."""

import os
import shutil
from collections.abc import Mapping

from esker.declare.load import load
from esker.errors import HostError
from esker.host import files
from esker.lock.resolve import lock_paths, make_lock, put, read_lock, rendered
from esker.progress import Progress
from esker.runtimes.preparation import alone, own_system, realised

__all__ = ["change_manifest", "check_no_backup", "manifest_path"]


def manifest_path(project: str) -> str:
    """Return where a project's manifest lies."""
    return f"{project}/.flox/env/manifest.toml"


def check_no_backup(project: str) -> None:
    """Raise when a change was cut off between taking the old files out and putting the new ones in."""
    backup = f"{project}/.flox/env.tmp"
    if os.path.lexists(backup):
        raise HostError(
            f"a change of this environment was cut off: found its backup at `{backup}`",
            hint=f"put it back: rm -rf {project}/.flox/env && mv {backup} {project}/.flox/env",
        )


def change_manifest(
    project: str, text: str, environ: Mapping[str, str], *, lock: bool = True, progress: Progress
) -> bool:
    """Make `text` the manifest of `project` and return whether anything changed.

    Without `lock` only the manifest is written. Whatever fails, manifest, lock and links stay as they were.
    """
    check_no_backup(project)
    path = manifest_path(project)
    with open(path, encoding="utf-8") as file:
        if file.read() == text:
            return False
    declaration = load(project, manifest=text)
    if not lock:
        files.write(path, text.encode(), mode=0o644)
        return True
    with alone(project):
        made = make_lock(declaration, read_lock(declaration), own_system(), environ, progress=progress)
        manifest_lock, pylock = rendered(made)
        with realised(declaration, made, environ, progress=progress) as links:
            put(lock_paths(declaration)[1], pylock)
            _swap(project, {"manifest.toml": text.encode(), "manifest.lock": manifest_lock})
            links.switch(keep_rollback=False)
    return True


def _swap(project: str, contents: Mapping[str, bytes]) -> None:
    """Exchange `.flox/env` for a copy of it with `contents`, as Flox does: by renaming, the old one last removed."""
    current, fresh, backup = (f"{project}/.flox/{name}" for name in ("env", "env.new", "env.tmp"))
    with files.refused("change", current):
        if os.path.lexists(fresh):
            shutil.rmtree(fresh)
        shutil.copytree(current, fresh, symlinks=True)
        for name, content in contents.items():
            files.write_changed(f"{fresh}/{name}", content, mode=0o644)
        os.rename(current, backup)
        os.rename(fresh, current)
        shutil.rmtree(backup)
