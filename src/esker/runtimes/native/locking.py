"""Locking a project: conda's packages first, because they may bring the Python that the wheels are locked for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from esker.declare.conda_edit import CONDA
from esker.errors import ResolutionFailed
from esker.formats.conda.locked_package import closure
from esker.host.interpreters import OneInterpreter
from esker.lock.compose import composed, override_notice
from esker.lock.conda.beside import check_beside
from esker.lock.conda.client import network
from esker.lock.conda.current import resolved_conda
from esker.lock.lock_files import write_lock
from esker.lock.pythons import conda_python
from esker.lock.resolve import check_current, resolved_lock
from esker.realise.conda.prefix import conda_prefix
from esker.store.store import Store

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreters
    from esker.lock.conda.lock_file import CondaLock
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["lock_project", "locked_project"]


def lock_project(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    locked: bool = False,
    upgrade: bool | frozenset[str] = False,
    python: str | None = None,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return the lock of a project, which is on disk then, and whether it is new.

    `interpreters` are those of this machine; if conda's packages bring a Python, wheels are locked for that one. With
    `locked`, a stale lock is refused (`StaleLock`) instead of made again; with `upgrade`, no package stays pinned, or
    all but those of the names in it, which begin with `conda/` for conda packages. The lock becomes one for the minor
    version `python` of Python, such as `3.12`, if that is given. If the settings leave packages out that are not here,
    a lock may be partial; then its manifest.lock is not written.
    """
    lock, is_new = locked_project(
        declaration, settings, interpreters, locked=locked, upgrade=upgrade, python=python, progress=progress
    )
    if is_new:
        write_lock(declaration, lock)
    return lock, is_new


def locked_project(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    locked: bool = False,
    upgrade: bool | frozenset[str] = False,
    python: str | None = None,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return what `lock_project` returns, and write no lock."""
    if locked:
        check_current(declaration, settings)
    else:
        declaration = composed(declaration, settings)
    conda = resolved_conda(declaration, settings, upgrade=upgrade, progress=progress)
    with ExitStack() as used:  # what conda's Python is made of stays in the store until the wheels are locked
        lock, is_new = resolved_lock(
            declaration,
            settings,
            _interpreters(declaration, conda, settings, used, progress) or interpreters,
            upgrade=upgrade if isinstance(upgrade, bool) else frozenset(n for n in upgrade if not n.startswith(CONDA)),
            python=python,
            conda=conda,
            progress=progress,
        )
    if is_new and lock.lockfile.compose and (notice := override_notice(lock.lockfile.compose)):
        progress.notice(notice)
    if is_new and conda is not None and lock.python is not None:
        check_beside(conda, lock.python, progress)
    return lock, is_new


def _interpreters(
    declaration: Declaration, conda: CondaLock | None, settings: Settings, used: ExitStack, progress: Progress
) -> Interpreters | None:
    """Return the interpreter that conda's packages bring, which wheels are locked with; None if they bring none.

    It is made when it is asked for, and no collection takes it until `used` is closed.
    """
    if conda is None or declaration.esker.python is None or conda_python(conda) is None:
        return None
    packages = conda.packages.get(settings.system)
    if packages is None:
        raise ResolutionFailed(
            f"the Python packages cannot be locked on this machine: conda's Python is not locked for {settings.system}",
            hint=f"add '{settings.system}' to `options.systems`, or lock on another machine",
        )
    needed = closure(packages, "python")
    if not needed:
        return None

    def place() -> str:
        store = Store(settings.store_root)
        used.enter_context(store.using())
        made = conda_prefix(store, declaration.name, needed, lambda: network(settings).client, settings, progress)
        return f"{made.path}/bin/python"

    return OneInterpreter(settings.tools, place)
