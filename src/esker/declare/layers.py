"""The layers of an environment that includes others: what Esker reads of each layer itself.

Flox merges whole manifests, and its lock holds the merge. But it replaces `[plugins.esker]` as a whole, so Esker merges
that table anew, key by key (`by_key`). For this it walks to every layer that has one: by the lock of the environment to
the layers that it includes, by their locks to the layers below, and so on. Only locked manifests count, never a file
that somebody edits just now. A layer is the one that was merged if its lock holds the manifest that the lock above it
has recorded.

A layer that is kept on FloxHub has no directory. What the lock has recorded of it counts as one layer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from esker.declare import by_key
from esker.declare.declaration import Declaration, Layers
from esker.declare.validate import esker_table
from esker.errors import EskerError, IncludeCycle, InvalidLock, MissingInclude, StaleInclude
from esker.formats import lockfile
from esker.formats.manifest import IncludedDirectory, Manifest, record
from esker.formats.manifest_services import undefined_dependencies
from esker.formats.references import variable_cycle
from esker.formats.tables.reader import Report
from esker.host import files

if TYPE_CHECKING:
    from esker.formats.lockfile import Compose, IncludedManifest, Lockfile

__all__ = ["check_acyclic", "directory_of", "lock_of", "missing_hint", "with_layers"]

_DEEPEST = 40
"""How deep environments may include each other: below what Python can follow, and above what anybody needs."""


def directory_of(project: str, descriptor: IncludedDirectory) -> str:
    """Return the project directory of an included environment, absolute, with links resolved."""
    return os.path.realpath(os.path.join(project, descriptor.dir))


def lock_of(directory: str) -> str:
    """Return the path of the lock of the environment in a directory."""
    return f"{directory}/.flox/env/manifest.lock"


def with_layers(
    own: Declaration, merge: Manifest, compose: Compose, path: str, fetched: tuple[Lockfile, ...] = ()
) -> Declaration:
    """Return the declaration of an environment whose own manifest is that of `own`, merged from these layers.

    `path` is the lock that holds the merge, or will hold it. Raises InvalidLock if the merge has mistakes that none of
    its manifests has.
    """
    walk = _Walk()
    values = walk.table(own.project, compose, (own.project,))
    plugins = {**record(merge).get("plugins", {}), **({"esker": values} if values else {})}
    if not values:
        plugins.pop("esker", None)
    report = Report()
    esker = esker_table(merge, {**record(merge), "plugins": plugins}, report)
    if loop := variable_cycle(merge.vars):
        hint = "remove one of these references from its manifest, and lock it again"
        report.note(("manifest", "vars"), f"Found a reference cycle in '[vars]': {' → '.join(loop)}", hint)
    if merge.services is not None:
        for fault in undefined_dependencies(merge.services, frozenset(merge.services.services)):
            report.note(("services", *fault.path), fault.message, fault.hint)
    if report.problems:
        raise InvalidLock(path, report.problems)
    layers = Layers(compose, values, tuple(sorted(walk.locks)), tuple(walk.problems), fetched)
    return msgspec.structs.replace(own, manifest=merge, esker=esker, merged_from=own.manifest, layers=layers)


class _Walk:
    """One walk over all layers of an environment."""

    def __init__(self) -> None:
        self.locks: set[str] = set()
        """The locks that were looked for: if one changes, the walk may end differently."""
        self.problems: list[EskerError] = []
        """Why a layer could not be walked to; its table is the one that the lock above it has recorded."""
        self._tables: dict[str, Mapping[str, Any]] = {}

    def table(self, project: str, compose: Compose, above: tuple[str, ...]) -> Mapping[str, Any]:
        """Return the table of an environment in `project` that includes others, merged from all layers below it."""
        result: Mapping[str, Any] = {}
        for include in compose.include:
            table = _own_table(include.manifest)
            if table and isinstance(include.descriptor, IncludedDirectory):
                place = include.descriptor.dir
                place = os.path.relpath(place, project) if os.path.isabs(place) else place
                table = by_key.rebased(self._included(project, include, above), place)
            result = by_key.merged(result, by_key.included(table))
        return by_key.merged(result, _own_table(compose.composer))

    def _included(self, project: str, include: IncludedManifest, above: tuple[str, ...]) -> Mapping[str, Any]:
        assert isinstance(include.descriptor, IncludedDirectory)
        recorded = _own_table(include.manifest)
        directory = directory_of(project, include.descriptor)
        path = lock_of(directory)
        self.locks.add(path)
        try:
            _check_way(directory, include.name, above)
            lock = _recorded_lock(path, include, project)
        except EskerError as problem:
            self.problems.append(problem)
            return recorded
        if lock.compose is None:
            return recorded
        if directory not in self._tables:
            self._tables[directory] = self.table(directory, lock.compose, (*above, directory))
        return self._tables[directory]


def _own_table(manifest: Manifest) -> Mapping[str, Any]:
    table = manifest.plugins.get("esker")
    return table if isinstance(table, Mapping) else {}


def _recorded_lock(path: str, include: IncludedManifest, project: str) -> Lockfile:
    """Return the lock of a layer; raises an error if it is missing, or is not the one that was recorded."""
    name = include.name
    if not os.path.exists(path):
        missing = f"the included environment `{name}` is missing: there is no `{path}`"
        raise MissingInclude(missing, hint=missing_hint(path, project, "put it back"))
    lock = lockfile.parse(files.read(path), path)
    if record(lock.manifest) != record(include.manifest):
        raise StaleInclude(
            f"the included environment `{name}` is locked otherwise than when it was merged into `{project}`",
            hint=f"take its changes: esker include upgrade {name} -d {project}",
        )
    return lock


def missing_hint(path: str, project: str, otherwise: str) -> str:
    """Return what to do about an included environment that is missing at `path`; `otherwise` if it is no copy."""
    from esker.formats.vendored import DIRECTORY

    if f"/{DIRECTORY}/" in path:
        again = f"esker include add URL@REVISION -d {project}"
        otherwise = f"it is a copy of a git repository: put it back, or fetch it again: {again}"
    return f"{otherwise}, or take it out of [include]: esker edit -d {project}"


def _check_way(directory: str, name: str, above: tuple[str, ...]) -> None:
    """Raise IncludeCycle if an environment includes itself, or if too many include each other."""
    if directory in above:
        loop = [*above[above.index(directory) :], directory]
        message = f"environments include each other in a circle: {' → '.join(f'`{each}`' for each in loop)}"
        raise IncludeCycle(message, hint=f"take one of them out of [include]: esker edit -d {above[-1]}")
    if len(above) > _DEEPEST:
        message = f"more than {_DEEPEST} environments include each other, down to `{name}`"
        raise IncludeCycle(message, hint="include what is far down directly")


def check_acyclic(project: str, directory: str, name: str) -> None:
    """Raise IncludeCycle if the environment in `directory`, or one that its lock has merged, includes `project`."""
    seen: set[str] = set()

    def follow(directory: str, name: str, above: tuple[str, ...]) -> None:
        _check_way(directory, name, above)
        path = lock_of(directory)
        if directory in seen or not os.path.exists(path):
            return
        seen.add(directory)
        lock = lockfile.parse(files.read(path), path)
        for include in lock.compose.include if lock.compose else ():
            if isinstance(include.descriptor, IncludedDirectory):
                follow(directory_of(directory, include.descriptor), include.name, (*above, directory))

    follow(directory, name, (project,))
