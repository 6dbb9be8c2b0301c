"""Builds the profile of a lock, with everything that the profile needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.declare.source import source_directories
from esker.declare.tool_wheels import or_its_wheel
from esker.errors import RealisationFailed
from esker.realise.profile import OWN_COMMANDS, profile
from esker.realise.programs import programs
from esker.realise.wheels import python_environment, selected_artifacts

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreters
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.settings import Settings
    from esker.store.store import Store

__all__ = ["realise"]


def realise(
    declaration: Declaration,
    lock: Lock,
    store: Store,
    interpreters: Interpreters,
    settings: Settings,
    *,
    progress: Progress,
) -> str:
    """Build the profile of `lock` and everything it needs in `store`, and return the profile's store path.

    An interpreter is looked for only if the lock has Python packages.
    """
    _require_packages(lock, store, settings.system)
    table = declaration.esker.python
    if table is None or lock.python is None:
        return profile(store, declaration.name, None)
    interpreter = interpreters.find(str(lock.python.requires_python or table.version or ""))
    artifacts = selected_artifacts(lock.python, interpreter, table.build)
    python = python_environment(store, artifacts, interpreter, settings.tools, progress, build=table.build)
    wheels = {name for name, _, _ in artifacts}
    taken = {*os.listdir(f"{python.path}/bin"), *OWN_COMMANDS}
    wheel_programs = programs(python.libraries, table.programs, wheels, taken)
    source = source_directories(declaration.project, table.source)
    return profile(store, declaration.name, python, programs=wheel_programs, source=source)


def _require_packages(lock: Lock, store: Store, system: str) -> None:
    """Raise RealisationFailed if a locked package is not in the store; Esker cannot read binary caches yet."""
    for package in lock.lockfile.packages:
        for path in package.store_paths() if package.system == system else ():
            if not store.is_valid(path):
                raise RealisationFailed(
                    f"`{package.install_id}` is locked to `{path}`, which is not in the store",
                    hint="Esker cannot read binary caches yet: activate the environment with Flox"
                    + or_its_wheel(package.install_id),
                )
