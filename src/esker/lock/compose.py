"""Composing an environment: merging what it includes into its manifest, from locked manifests alone.

An included environment is merged as its own lock has it. Once merged, it stays as the lock of the composing environment
has recorded it, until `[include]` names it otherwise or somebody takes its changes (`esker include upgrade`).
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from esker.declare import trust
from esker.declare.layers import check_acyclic, directory_of, lock_of, missing_hint, with_layers
from esker.declare.load import environment_name, manifest_path, read_manifest
from esker.errors import (
    EskerError,
    IncludeError,
    InvalidFile,
    InvalidLock,
    InvalidManifest,
    MissingInclude,
    NotFound,
    Problem,
    ResolutionFailed,
    StaleInclude,
)
from esker.formats import lockfile, vendored
from esker.formats.lockfile import Compose, IncludedManifest, Lockfile
from esker.formats.manifest import IncludedDirectory, IncludedRemote, disabled_systems
from esker.formats.merge import COMPOSER, Layer, Merge, merge, overridden
from esker.formats.tables.reader import dotted, near
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.manifest import Included, LockedOutputs, Manifest
    from esker.settings import Settings

__all__ = [
    "check_layers",
    "check_plain",
    "check_upgradable",
    "composed",
    "composed_if_possible",
    "override_notice",
]


_MERGED_BY_KEY = ("plugins", "esker")
"""What Flox replaces as a whole, and Esker does not."""


class _Taken(NamedTuple):
    """An included environment as it is merged, and its lock if that was read for this."""

    include: IncludedManifest
    lock: Lockfile | None = None


def composed(declaration: Declaration, settings: Settings, *, upgrade: Collection[str] | None = None) -> Declaration:
    """Return a declaration merged with the environments that it includes; itself if it includes none.

    One that is merged already stays as it is. With `upgrade`, the included environments of these names are merged as
    their locks have them now, an empty collection standing for all; one on FloxHub stays unless it is named. Raises
    IncludeError for an environment that cannot be merged, and NotFound for a name that is not included.
    """
    own = declaration.own_manifest
    if own.include is None or not own.include.environments:
        return declaration
    if upgrade is None and declaration.merged_from is not None:
        check_layers(declaration)
        return declaration
    before = _readable(lock_of(declaration.project))
    recorded = before.compose.include if before and before.compose else ()
    if upgrade is not None:
        check_upgradable(declaration, upgrade)
    taken = [
        _taken(descriptor, recorded, declaration.project, settings, upgrade) for descriptor in own.include.environments
    ]
    _check_unique([each.include.name for each in taken])
    includes, fetched = tuple(each.include for each in taken), tuple(each.lock for each in taken if each.lock)
    known = _with_outputs(before)
    layers = [
        Layer(each.include.name, each.include.manifest, _with_outputs(each.lock) if each.lock else known)
        for each in taken
    ]
    made = merge([*layers, Layer(COMPOSER, own, known)])
    path = manifest_path(declaration.project)
    _check_schema(made, own, path)
    if faults := list(disabled_systems(made.manifest)):
        problems = [Problem(fault.message, hint=fault.hint) for fault in faults]
        raise InvalidManifest(path, problems)
    compose = Compose(composer=own, include=includes, warnings=made.warnings)
    whole = with_layers(_alone(declaration), made.manifest, compose, lock_of(declaration.project), fetched)
    check_layers(whole)
    return whole


def composed_if_possible(declaration: Declaration, settings: Settings) -> tuple[Declaration, EskerError | None]:
    """Return a declaration merged with what it includes if that can be done, else as it is, and why it cannot."""
    try:
        return composed(declaration, settings), None
    except EskerError as problem:
        return declaration, problem


def check_layers(declaration: Declaration) -> None:
    """Raise an IncludeError, or the layer's own InvalidLock, if Esker's table of a layer could not be read."""
    if declaration.layers is not None and declaration.layers.problems:
        raise declaration.layers.problems[0]


def check_plain(manifest: Manifest) -> None:
    """Raise ResolutionFailed where a manifest that stands alone includes other environments."""
    if manifest.include and manifest.include.environments:
        raise ResolutionFailed(
            "remote environments cannot include local environments",  # Flox's words for a manifest without a directory
            hint="a manifest alone has no place that `dir` is relative to; lock the project: esker lock -d DIR",
        )


def override_notice(compose: Compose) -> str | None:
    """Return what layers have replaced of each other's keys, as people read it; None if nothing."""
    warnings = [warning for warning in compose.warnings if warning.warning.path != _MERGED_BY_KEY]
    winners = overridden(warnings, [include.name for include in compose.include])
    if not winners:
        return None
    lines = ["ℹ The following manifest fields were overridden during merging:"]
    for name, paths in winners.items():
        lines.append("- This environment set:" if name == COMPOSER else f"- Environment '{name}' set:")
        lines += [f"  - {dotted(path)}" for path in paths]
    return "\n".join(lines)


def _alone(declaration: Declaration) -> Declaration:
    return msgspec.structs.replace(declaration, manifest=declaration.own_manifest, merged_from=None, layers=None)


def _readable(path: str) -> Lockfile | None:
    try:
        return lockfile.parse(files.read(path), path) if os.path.exists(path) else None
    except InvalidLock:
        return None


def _with_outputs(lock: Lockfile | None) -> tuple[LockedOutputs, ...]:
    packages = lock.packages if lock else ()
    return tuple(each for each in packages if not isinstance(each, lockfile.StorePathLocked))


def _taken(
    descriptor: Included,
    recorded: Sequence[IncludedManifest],
    project: str,
    settings: Settings,
    upgrade: Collection[str] | None,
) -> _Taken:
    """Return an included environment as the last lock has recorded it, or as its own lock has it now."""
    same = next((include for include in recorded if include.descriptor == descriptor), None)
    is_upgraded = upgrade is not None and (not upgrade or same is None or same.name in upgrade)
    if same is not None and not is_upgraded:
        return _Taken(same)
    if isinstance(descriptor, IncludedDirectory):
        return _fetched(descriptor, project, settings)
    if same is not None and not upgrade:
        return _Taken(same)
    assert isinstance(descriptor, IncludedRemote)  # an alias of it is read as it
    raise IncludeError(
        f"failed to fetch environment '{descriptor.remote}': it is kept on FloxHub, which Esker cannot read",
        hint="lock this environment with Flox, after which Esker reads it in the lock; or keep the other environment "
        "in a directory or a git repository: esker include add URL@REV",
    )


def _fetched(descriptor: IncludedDirectory, project: str, settings: Settings) -> _Taken:
    """Return an included environment as its lock has it; raises IncludeError, NotTrusted and errors of its files."""
    directory, failed = directory_of(project, descriptor), f"failed to fetch environment '{descriptor.dir}'"
    if not os.path.isdir(f"{directory}/.flox"):
        raise MissingInclude(
            f"{failed}: there is no environment in `{directory}`",
            hint=missing_hint(directory, project, f"correct `dir`, which is relative to `{project}`"),
        )
    trust.check_contents(directory, settings)
    name = descriptor.name or environment_name(directory)
    check_acyclic(project, directory, name)
    path, own = lock_of(directory), manifest_path(directory)
    manifest, _ = read_manifest(files.read_text(own, InvalidManifest, limit=LARGEST_MANIFEST), own)
    lock = lockfile.parse(files.read(path), path) if os.path.exists(path) else None
    if lock is None or lockfile.differences(lock.own_manifest(), manifest):
        hint = f"lock it, then try again: esker lock -d {shlex.quote(directory)}"
        if f"/{vendored.DIRECTORY}/" in directory:
            hint = "lock it in its git repository, and commit; `esker include upgrade` puts back what was changed here"
        raise StaleInclude(
            f"{failed}: cannot include environment since its manifest and lockfile are out of sync",
            hint=hint,
            unlocked=descriptor.dir,
        )
    return _Taken(IncludedManifest(manifest=lock.manifest, name=name, descriptor=descriptor), lock)


def _check_unique(names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise IncludeError(
                f"multiple environments in include.environments have the name '{name}'\n"
                "A unique name can be provided with the 'name' field.",
                hint='write `{ dir = "…", name = "…" }`',
            )


def check_upgradable(declaration: Declaration, names: Collection[str]) -> None:
    """Raise NotFound if the environment includes none, or none of one of these names."""
    own = declaration.own_manifest
    if own.include is None or not own.include.environments:
        hint = "include one: esker include add URL@REV, or a `dir` in [include]"
        raise NotFound("environment has no included environments", hint=hint)
    before = _readable(lock_of(declaration.project))
    known = {include.name for include in (before.compose.include if before and before.compose else ())}
    for descriptor in own.include.environments:
        if descriptor.name is not None:
            known.add(descriptor.name)
        elif isinstance(descriptor, IncludedDirectory):
            directory = directory_of(declaration.project, descriptor)
            try:
                known.add(environment_name(directory))
            except (NotFound, InvalidFile):  # a copy is fetched again, and another one is told when it is read
                known.add(os.path.basename(directory))
    for name in names:
        if name not in known:
            hint = near(name, known) or f"this environment includes: {', '.join(sorted(known)) or 'none'}"
            raise NotFound(f"unknown included environment to check for changes '{name}'", hint=hint)


def _check_schema(made: Merge, own: Manifest, path: str) -> None:
    """Raise InvalidManifest if the own manifest's schema cannot say what an included environment declares."""
    needed = made.manifest.schema
    if needed != own.schema:
        was = "`version = 1`" if own.schema == "1" else f"schema {own.schema}"
        message = f"an included environment declares what {was} cannot say; it needs schema {needed}"
        hint = f'write `schema-version = "{needed}"` in place of it, which changes nothing else'
        if own.schema == "1":
            hint = f'write `schema-version = "{needed}"`, and `outputs = "all"` for packages that need every output'
        raise InvalidManifest(path, [Problem(message, hint=hint)])
