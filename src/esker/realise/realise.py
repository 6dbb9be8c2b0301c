"""From a lock to the profile that everything of it hangs on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.realise.profile import OWN_COMMANDS, profile, source_directories
from esker.realise.programs import programs
from esker.realise.wheels import python_environment, selected

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
    """Return the store path of the profile of `lock`, with everything it needs in `store`.

    An interpreter is looked for only where the lock has Python packages.
    """
    _require_packages(lock, store, settings.system)
    table = declaration.esker.python
    if table is None or lock.python is None:
        return profile(store, declaration.name, None)
    interpreter = interpreters.find(str(lock.python.requires_python or table.version or ""))
    artifacts = selected(lock.python, interpreter, table.build)
    python = python_environment(store, artifacts, interpreter, settings.tools, progress, build=table.build)
    wheels = {name for name, _, _ in artifacts}
    found = programs(python.libraries, table.programs, wheels, {*os.listdir(f"{python.path}/bin"), *OWN_COMMANDS})
    source = source_directories(declaration.project, table.source)
    return profile(store, declaration.name, python, programs=found, source=source)


def _require_packages(lock: Lock, store: Store, system: str) -> None:
    """Raise for a locked package that is not in the store: before binary caches can be read, nothing brings it."""
    for package in lock.lockfile.packages:
        for path in package.store_paths() if package.system == system else ():
            if not store.is_valid(path):
                raise RealisationFailed(
                    f"`{package.install_id}` is locked to `{path}`, which is not in the store",
                    hint="no binary cache is read yet; take a wheel where there is one: esker install pypi/NAME",
                )
