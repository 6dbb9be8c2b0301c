"""Making the lock of a declaration: a current one is kept, and what a stale one pins stays as far as it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from esker.declare import trust
from esker.declare.source import source_directories
from esker.errors import ResolutionFailed, StaleLock
from esker.formats import lockfile, pylock
from esker.lock.lock_files import Lock, read_lock, write_lock
from esker.lock.packages import lock_packages
from esker.lock.staleness import staleness
from esker.lock.wheels import resolve
from esker.progress import reporting

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.formats.pylock import Pylock
    from esker.host.interpreters import Interpreters
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["lock_project", "resolved_lock"]


def lock_project(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    locked: bool = False,
    upgrade: bool = False,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return the lock of a project, which is on disk then, and whether it is new.

    With `locked`, a stale lock is refused (`StaleLock`) instead of made again; with `upgrade`, nothing stays pinned.
    """
    lock, is_new = resolved_lock(declaration, settings, interpreters, locked=locked, upgrade=upgrade, progress=progress)
    if is_new:
        write_lock(declaration, lock)
    return lock, is_new


def resolved_lock(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    locked: bool = False,
    upgrade: bool = False,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return what `lock_project` returns, and write nothing."""
    _check_composed(declaration)
    _check_build(declaration, settings)
    current = None if upgrade else read_lock(declaration)
    stale = staleness(declaration, current, settings.system, settings.indexes)
    if current is not None and not stale.reasons:
        return current, False
    if locked:
        raise StaleLock("the lock does not match the manifest", reasons=stale.reasons, hint="make it again: esker lock")
    if declaration.esker.python is not None:
        # What is locked could not be installed: say so now, not after a minute of resolving.
        source_directories(declaration.project, declaration.esker.python.source)
    packages = lock_packages(declaration.manifest, current.lockfile if current else None, settings.system)
    python = current.python if current else None
    if stale.inputs is None:
        python = None
    elif python is None or pylock.inputs(python) != stale.inputs:
        with reporting(progress):
            progress.begin("Locking Python packages")
            python = _python_lock(stale.inputs, python, interpreters, settings)
    line_feed = current is None or current.lockfile.ends_with_line_feed
    made = lockfile.Lockfile(manifest=declaration.manifest, packages=packages, ends_with_line_feed=line_feed)
    return Lock(made, python), True


def _python_lock(
    inputs: pylock.Inputs, previous: Pylock | None, interpreters: Interpreters, settings: Settings
) -> Pylock:
    interpreter = interpreters.find(inputs.python or None)
    changed = _changed(pylock.inputs(previous) if previous else None, inputs)
    resolved = resolve(inputs, interpreter, settings.tools, previous=previous, changed=changed)
    # Through the text, so that what is used now is exactly what is read from the file ever after.
    return pylock.parse(pylock.render(resolved, inputs, build=inputs.build))


def _check_composed(declaration: Declaration) -> None:
    """Raise ResolutionFailed where the manifest includes other environments, which Esker cannot compose yet."""
    include = declaration.manifest.include
    if include and include.environments:
        raise ResolutionFailed(
            "the environments of [include] cannot be composed yet",
            hint="write what they declare into this manifest, and take [include] out",
        )


def _check_build(declaration: Declaration, settings: Settings) -> None:
    """Raise NotTrusted for another user's project that has packages built from source, which runs their code."""
    python = declaration.esker.python
    if python is not None and python.build:
        trust.check(declaration.project, settings)


def _changed(before: pylock.Inputs | None, after: pylock.Inputs) -> frozenset[str]:
    """Return the names whose requirement has changed, so that their old pins do not bind any more."""
    if before is None:
        return frozenset()
    different = set(before.requirements) ^ set(after.requirements)
    return frozenset(canonicalize_name(Requirement(text).name) for text in different)
