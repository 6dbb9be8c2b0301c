"""A lock as a whole: read from its two files, made from a declaration, written only where it differs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from esker.declare import trust
from esker.errors import InvalidLock, ResolutionFailed
from esker.formats import lockfile, pylock
from esker.formats.systems import declared_systems
from esker.host import files
from esker.lock.wheels import resolve

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.formats.lockfile import Lockfile
    from esker.formats.manifest import Manifest
    from esker.formats.pylock import Pylock
    from esker.host.interpreters import Interpreters
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = [
    "Lock",
    "check_build",
    "check_composed",
    "lock_packages",
    "lock_paths",
    "make_lock",
    "put",
    "read_lock",
    "rendered",
    "write_lock",
]


class Lock(NamedTuple):
    """What a declaration means, version by version and hash by hash."""

    lockfile: Lockfile
    python: Pylock | None


def lock_paths(declaration: Declaration) -> tuple[str, str]:
    """Return the files of a lock: manifest.lock and pylock.toml."""
    return f"{declaration.dot_flox}/env/manifest.lock", f"{declaration.dot_flox}/pylock.toml"


def read_lock(declaration: Declaration) -> Lock | None:
    """Return the lock on disk, None when there is no manifest.lock; a damaged file is an `InvalidLock`."""
    flox, python = lock_paths(declaration)
    if not os.path.exists(flox):
        return None
    locked = pylock.parse(files.read_text(python, InvalidLock), python) if os.path.exists(python) else None
    return Lock(lockfile.parse(files.read(flox), flox), locked)


def check_composed(declaration: Declaration) -> None:
    """Raise for environments that are included: without what they declare, it would be another environment."""
    include = declaration.manifest.include
    if include and include.environments:
        raise ResolutionFailed(
            "the environments of [include] cannot be composed yet",
            hint="write what they declare into this manifest, and take [include] out",
        )


def check_build(declaration: Declaration, settings: Settings) -> None:
    """Raise NotTrusted for somebody else's project that names what to build from source: that runs code."""
    python = declaration.esker.python
    if python is not None and python.build:
        trust.check(declaration.project, settings)


def make_lock(
    declaration: Declaration,
    previous: Lock | None,
    inputs: pylock.Inputs | None,
    interpreters: Interpreters,
    settings: Settings,
    *,
    progress: Progress,
) -> Lock:
    """Return the lock of `declaration`; what `previous` pins and is still declared stays as it is.

    `inputs` are those of `staleness`. An interpreter is looked for only where Python packages have to be resolved.
    """
    packages = lock_packages(declaration.manifest, previous.lockfile if previous else None, settings.system)
    before = previous.python if previous else None
    made_from = pylock.inputs(before) if before else None
    python = before if made_from == inputs else None
    if inputs is not None and python is None:
        progress.begin("Locking Python packages")
        interpreter = interpreters.find(inputs.python or None)
        changed = _changed(made_from, inputs)
        resolved = resolve(inputs, interpreter, settings.tools, previous=before, changed=changed)
        # Through the text, so that what is used now is exactly what is read from the file ever after.
        python = pylock.parse(pylock.render(resolved, inputs, build=inputs.build))
        progress.end()
    return Lock(lockfile.Lockfile(manifest=declaration.manifest, packages=packages), python if inputs else None)


def rendered(lock: Lock) -> tuple[bytes, bytes | None]:
    """Return the contents of manifest.lock and of pylock.toml, None where there is to be none."""
    python = None
    if lock.python is not None:
        made_from = pylock.inputs(lock.python)
        assert made_from is not None, "a lock that was made here says from what"
        python = pylock.render(lock.python, made_from, build=made_from.build).encode()
    return lockfile.render(lock.lockfile), python


def write_lock(declaration: Declaration, lock: Lock) -> None:
    """Write the files of a lock that differ from what is there, manifest.lock last."""
    (flox, python), (flox_content, python_content) = lock_paths(declaration), rendered(lock)
    put(python, python_content)
    put(flox, flox_content)


def put(path: str, content: bytes | None) -> None:
    """Make `content` the file at `path`, untouched where it is that already; None removes it."""
    if content is not None:
        files.write_changed(path, content, mode=0o644)
    elif os.path.lexists(path):
        with files.refused("remove", path):
            os.unlink(path)


def lock_packages(manifest: Manifest, before: Lockfile | None, system: str) -> tuple[lockfile.LockedPackage, ...]:
    """Return the locked packages of `[install]`; one that is not locked yet is refused: no catalogue can be asked."""
    wanted = manifest.install
    if not wanted:
        return ()
    systems = declared_systems(manifest.options.systems, system)
    locked = before.packages if before else ()
    for name, descriptor in wanted.items():
        known = before is not None and before.own_manifest().install.get(name) == descriptor
        here = {package.system for package in locked if package.install_id == name}
        if not known or not here & set(descriptor.systems or systems):
            raise ResolutionFailed(
                f"`{name}` of [install] cannot be locked: no catalogue can be asked yet",
                hint=f"take a wheel instead where there is one (esker install pypi/{name}), or lock it with Flox first",
            )
    return tuple(package for package in locked if package.install_id in wanted)


def _changed(before: pylock.Inputs | None, after: pylock.Inputs) -> frozenset[str]:
    """Return the names whose requirement is not what it was: their old pin says nothing any more."""
    if before is None:
        return frozenset()
    different = set(before.requirements) ^ set(after.requirements)
    return frozenset(canonicalize_name(Requirement(text).name) for text in different)
