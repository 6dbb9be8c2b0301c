"""Making the lock of a declaration: a current one is kept, and what a stale one pins stays as far as it can."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.declare import trust
from esker.declare.source import source_directories
from esker.errors import InvalidLock, ResolutionFailed, StaleLock
from esker.formats import lockfile, pylock
from esker.lock.compose import check_layers
from esker.lock.lock_files import Lock, check_replaceable, read_conda_lock, read_lock, read_python_lock
from esker.lock.own_project import uninstalled
from esker.lock.packages import lock_packages
from esker.lock.pyproject import read_pyproject
from esker.lock.python_lock import PythonLock
from esker.lock.pythons import allowed_pythons, check_chosen, conda_python, interpreter_for_new_lock, locked_pythons
from esker.lock.staleness import is_uncomposed, staleness
from esker.lock.wheels import python_inputs
from esker.progress import reporting

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreters
    from esker.lock.conda.lock_file import CondaLock
    from esker.lock.pyproject import Pyproject
    from esker.lock.python_lock import Upgrade
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["check_current", "current_lock", "readable_lock", "resolved_lock", "with_inputs_of"]


def current_lock(declaration: Declaration, settings: Settings) -> Lock:
    """Return the lock of a project if nothing has to be resolved or written for it; raises StaleLock otherwise.

    If the settings leave packages out that are not here, that may be a partial lock.
    """
    present = read_lock(declaration)
    wheels = read_python_lock(declaration) if present is None and settings.without_packages else None
    wheels = present.python if present else wheels
    conda = present.conda if present else read_conda_lock(declaration)
    stale = staleness(declaration, present, settings.system, settings.indexes, wheels=wheels, conda=conda)
    if present is not None and not stale.reasons:
        return present
    if settings.without_packages and not stale.python and not is_uncomposed(declaration):
        manifest_lock, is_partial = _manifest_lock(declaration, present.lockfile if present else None, settings)
        if is_partial:
            return Lock(manifest_lock, wheels, conda, is_partial)
    raise _stale(stale.reasons)


def check_current(declaration: Declaration, settings: Settings) -> None:
    """Raise StaleLock if the lock on disk is missing or does not match the manifest, IncludeError if not its layers."""
    reasons = staleness(declaration, read_lock(declaration), settings.system, settings.indexes).reasons
    if reasons:
        raise _stale(reasons)
    check_layers(declaration)


def _stale(reasons: tuple[str, ...]) -> StaleLock:
    return StaleLock("the lock does not match the manifest", reasons=reasons, hint="make it again: esker lock")


def resolved_lock(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    upgrade: Upgrade = False,
    python: str | None = None,
    conda: CondaLock | None = None,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return the lock of a project and whether it is another than the one on disk; nothing is written.

    With `upgrade`, no package stays pinned, or all but those of the names in it. The lock becomes one for the minor
    version `python` of Python, such as `3.12`, if that is given. `conda` is the current lock of the conda packages. If
    the settings leave packages out that are not here, the lock may be partial.
    """
    _check_build(declaration, settings, read_pyproject(declaration))
    if (remark := uninstalled(declaration)) is not None:  # of a current lock too: commands are no inputs of a lock
        progress.remark(remark)
    if python is not None:
        check_chosen(python, declaration)
        if conda is not None and conda_python(conda) not in {None, python}:
            raise ResolutionFailed(
                f"Python {python} cannot be chosen: conda's packages bring Python {conda_python(conda)}",
                hint=f"ask for another one there: esker install conda/python={python}",
            )
    present = readable_lock(declaration) if upgrade is True else read_lock(declaration)
    current = None if upgrade is True or present is None else present._replace(conda=conda)
    on_disk = current.python if current else None
    if present is None and settings.without_packages:
        on_disk = read_python_lock(declaration)  # of a partial lock
    wheels = on_disk
    stale = staleness(declaration, current, settings.system, settings.indexes, wheels=wheels, conda=conda)
    is_moved = python is not None and wheels is not None and locked_pythons(wheels) != python
    if current is not None and not stale.reasons and not is_moved and not upgrade and current == present:
        return current, False
    if declaration.esker.python is not None:
        # What is locked could not be installed: say so now, not after a minute of resolving.
        source_directories(declaration.project, declaration.esker.python.source)
    manifest_lock, is_partial = _manifest_lock(declaration, current.lockfile if current else None, settings)
    if stale.inputs is None:
        wheels = None
    elif wheels is None or stale.python or is_moved or upgrade:
        allowed, previous = allowed_pythons(declaration, conda), present.python if present else on_disk
        interpreter = interpreter_for_new_lock(allowed, previous, interpreters, chosen=python)
        check_replaceable(declaration, is_partial=is_partial)  # before a minute of resolving, not after it
        with reporting(progress):
            progress.begin("Locking Python packages")
            asked = PythonLock(declaration, stale.inputs, settings, interpreters, wheels, upgrade, python, progress)
            resolved = asked.made(interpreter)
        # Through the text, so that what is used now is exactly what is read from the file ever after.
        wheels = pylock.parse(pylock.render(resolved, stale.inputs, build=stale.inputs.build))
    # A partial lock is made each time anew: it counts as new if it changes what is on disk, the Python lock.
    return Lock(manifest_lock, wheels, conda, is_partial), not is_partial or wheels is not on_disk


def _manifest_lock(
    declaration: Declaration, before: lockfile.Lockfile | None, settings: Settings
) -> tuple[lockfile.Lockfile, bool]:
    """Return the lock of the manifest, and whether packages are missing in it that the settings allow to leave out.

    It is `before` if that is current. Otherwise it has what `before` has of the declared packages, and after that what
    the locks of included environments have.
    """
    declared, own = declaration.manifest, declaration.own_manifest
    layers = declaration.layers
    compose = layers.compose if layers else None
    if before is not None and not lockfile.differences(before.own_manifest(), own) and before.compose == compose:
        return before, False
    assert not is_uncomposed(declaration), "environments are composed before they are locked"
    fetched = layers.fetched if layers else ()
    line_feed = before is None or before.ends_with_line_feed
    is_partial = False
    try:
        packages = lock_packages(declared, before, settings.system, layers=fetched)
    except ResolutionFailed:
        if not settings.without_packages:
            raise
        packages = lock_packages(declared, before, settings.system, layers=fetched, partly=True)
        is_partial = True
    made = lockfile.Lockfile(manifest=declared, packages=packages, compose=compose, ends_with_line_feed=line_feed)
    return made, is_partial


def with_inputs_of(declaration: Declaration, lock: Lock, settings: Settings) -> Lock:
    """Return a lock as one that was made from `declaration`, which differs only in bounds that the lock satisfies."""
    assert lock.python is not None
    inputs = python_inputs(declaration, settings.system, settings.indexes, pylock.inputs(lock.python), lock.conda)
    assert inputs is not None
    return lock._replace(python=pylock.parse(pylock.render(lock.python, inputs, build=inputs.build)))


def readable_lock(declaration: Declaration) -> Lock | None:
    """Return the lock on disk, or None if it is missing or damaged."""
    try:
        return read_lock(declaration)
    except InvalidLock:
        return None


def _check_build(declaration: Declaration, settings: Settings, project: Pyproject | None) -> None:
    """Raise NotTrusted for another user's project that has packages built from source, which runs their code."""
    python, sources = declaration.esker.python, project.uv.sources if project else ()
    built = [source for source in sources if source.is_built]
    if (python is not None and python.build) or built:
        places = [source.address for source in built if source.kind == "path" and os.path.exists(source.address)]
        trust.check_contents(declaration.project, settings, [*([project.path] if project else []), *places])
