"""Builds the profile of a lock, with everything that the profile needs."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from esker.declare import trust
from esker.declare.missing_packages import WITHOUT, counted_packages, known_wheels, named, origins
from esker.declare.source import source_directories
from esker.errors import RealisationFailed
from esker.formats.conda.locked_package import python_minor
from esker.host.interpreters import OneInterpreter
from esker.lock.build_backend import build_system
from esker.lock.build_requirements import locked_build
from esker.lock.cache_keys import watched
from esker.lock.conda.client import network
from esker.lock.own_project import editable_dependency, own_project
from esker.lock.packages import systems_of
from esker.lock.pythons import allowed_pythons, interpreter_of_lock
from esker.lock.source_trees import SourceTree
from esker.realise.artifacts import selected_artifacts
from esker.realise.conda.prefix import conda_prefix
from esker.realise.profile import OWN_COMMANDS, Packages, profile
from esker.realise.programs import programs
from esker.realise.project import editable_project
from esker.realise.pytest_plugin import is_wanted
from esker.realise.source_builds import trusted_sources
from esker.realise.wheels import Wheel, installed_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.formats.manifest import Package
    from esker.formats.pylock import Pylock
    from esker.host.interpreters import Interpreter, Interpreters
    from esker.lock.lock_files import Lock
    from esker.lock.own_project import OwnProject
    from esker.progress import Progress
    from esker.settings import Settings
    from esker.store.store import Store

__all__ = ["missing_packages", "realise"]


def realise(
    declaration: Declaration,
    lock: Lock,
    store: Store,
    interpreters: Interpreters,
    settings: Settings,
    *,
    dispensable: Collection[str] = (),
    progress: Progress,
) -> str:
    """Build the profile of `lock` and everything it needs in `store`, and return the profile's store path.

    Packages of `[install]` have to be in the store, except for the `dispensable` ones. The settings may allow to leave
    out all of them. An interpreter is looked for only if the lock has Python packages; if conda's packages have one,
    the wheels are installed for that one.
    """
    if not settings.without_packages:
        missing = [name for name in missing_packages(lock, store, settings.system) if name not in dispensable]
        _require_packages(missing, lock.lockfile.manifest.install)
    table = declaration.esker.python
    packages = lock.conda.packages.get(settings.system, ()) if lock.conda else ()
    conda = _conda_prefix(declaration, packages, store, settings, progress) if packages else None
    if table is None or lock.python is None:
        return profile(store, declaration.name, None, conda=conda)
    if python_minor(packages) is not None:
        interpreters = OneInterpreter(settings.tools, lambda: f"{conda}/bin/python")
    interpreter = interpreter_of_lock(allowed_pythons(declaration, lock.conda), lock.python, interpreters)
    uv, sources = trusted_sources(declaration, lock.python, settings)
    artifacts = selected_artifacts(lock.python, interpreter, table.build, sources)
    followed = [file for _, _, file in artifacts if isinstance(file, SourceTree) and file.editable]
    build = partial(editable_project, store, tools=settings.tools, progress=progress, configuration=uv.configuration())
    editable = _editable(declaration, lock.python, followed, interpreter, settings, build)
    wheels = installed_wheels(
        store,
        [artifact for artifact in artifacts if artifact[2] not in followed],
        interpreter,
        settings.tools,
        progress,
        build=table.build,
        largest=settings.largest_wheel,
        configuration=uv.configuration(),
    )
    libraries = {wheel.name: f"{wheel.path}/{interpreter.libraries}" for wheel in wheels}
    commands = _commands([wheel.path for wheel in (*wheels, *editable)])
    wheel_programs = programs(libraries, table.programs, taken={*commands, *OWN_COMMANDS})
    source = source_directories(declaration.project, table.source)
    return profile(
        store,
        declaration.name,
        Packages(interpreter, wheels, editable, tuple(source)),
        conda=conda,
        programs=wheel_programs,
        with_pytest_plugin=is_wanted(libraries),
        progress=progress,
    )


def _conda_prefix(
    declaration: Declaration,
    packages: Sequence[LockedCondaPackage],
    store: Store,
    settings: Settings,
    progress: Progress,
) -> str:
    prefix = conda_prefix(store, declaration.name, packages, lambda: network(settings).client, settings, progress)
    for warning in prefix.warnings:
        progress.remark(warning)
    return prefix.path


def _commands(trees: Sequence[str]) -> Iterator[str]:
    """Yield the names of what these trees have in bin."""
    for tree in trees:
        with suppress(FileNotFoundError):
            yield from os.listdir(f"{tree}/bin")


def _editable(
    declaration: Declaration,
    lock: Pylock,
    followed: Sequence[SourceTree],
    interpreter: Interpreter,
    settings: Settings,
    build: Callable[..., str],
) -> tuple[Wheel, ...]:
    """Return the editable builds of the directories in `followed` and, last, of the project itself if it has one.

    `build` is `editable_project` with what is the same for all of them.
    """
    wanted: list[tuple[OwnProject, Sequence[str], Sequence[str]]] = []
    for source in followed:
        build_system(source.address).check_builder(source.name, source.build_requirements)
        wanted.append((editable_dependency(source.name, source.address), source.build_requirements, [source.address]))
    own = own_project(declaration)
    if own is not None:
        requirements = locked_build(lock, own)
        assert requirements is not None, "a lock without them is stale"
        wanted.append((own, requirements, watched(own.directory, own.keys)))
    return tuple(
        Wheel(
            project.name,
            build(
                project,
                lines,
                interpreter,
                check=partial(trust.check_contents, declaration.project, settings, places),
            ),
        )
        for project, lines, places in wanted
    )


def missing_packages(lock: Lock, store: Store, system: str) -> tuple[str, ...]:
    """Return the names of the packages of `[install]` that are not in `store`, or not in the lock for `system`."""
    manifest = lock.lockfile.manifest
    present: set[str] = set()
    absent: set[str] = set()
    for package in lock.lockfile.packages:
        if package.system == system:
            is_here = all(store.is_valid(path) for path in package.store_paths())
            (present if is_here else absent).add(package.install_id)
    wanted = {name for name, it in manifest.install.items() if system in systems_of(it, manifest, system)}
    return tuple(sorted(absent | (wanted - present)))


def _require_packages(missing: Sequence[str], install: Mapping[str, Package]) -> None:
    """Raise RealisationFailed if packages are missing; Esker cannot read binary caches yet."""
    if missing:
        subject = "is" if len(missing) == 1 else "are"
        raise RealisationFailed(
            f"{counted_packages(missing)} {subject} not on this machine, and Esker cannot read binary caches yet: "
            f"{named(missing)} ({origins(install, missing)})",
            hint=f"activate with Flox, or without these packages: {WITHOUT}"
            + known_wheels(install, missing, replaceable=True),
        )
