"""The merge of manifests, by Flox's rules: of what an environment includes, lowest layer first, and its own manifest.

Maps (`[install]`, `[vars]`, services, …) are united, and a key's whole value is the higher layer's. Each option is the
higher layer's, if that sets it. The hook and the profiles are joined, the lower layer's text first; what runs at the
end (`on-deactivate`, `profile.deactivate`) the other way round. `[include]` is in no merge. A warning names each key
whose value a higher layer has replaced.

Manifests of several schemas are merged in the latest one. The merge then gets the schema of the highest layer, unless
it says what that schema cannot say. Source: Flox's manual, "Composing environments", and real locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from esker.formats.lockfile import MergeWarning, Overriding
from esker.formats.manifest import (
    LATEST,
    SCHEMAS,
    CatalogPackage,
    ContainerConfig,
    Containerize,
    FlakePackage,
    Hook,
    LockedOutputs,
    Manifest,
    MinimumVersion,
    Profile,
    ProfileScripts,
    Services,
    from_table,
    migrate,
    record,
)
from esker.formats.tables.reader import Path, Report

__all__ = ["COMPOSER", "Layer", "Merge", "merge", "overridden"]

COMPOSER = "Current manifest"
"""What a warning calls the manifest that includes the others."""

_Minimum = str | MinimumVersion | None
Value = TypeVar("Value")
Table = TypeVar("Table", bound=msgspec.Struct)


class Layer(NamedTuple):
    """A manifest that is merged, with what is known of its packages, which migrating an old one needs."""

    name: str
    manifest: Manifest
    locked: Iterable[LockedOutputs] = ()


class Merge(NamedTuple):
    """What a merge came to."""

    manifest: Manifest
    """In the schema of the highest layer, or in a later one if that cannot say all of it."""
    warnings: tuple[MergeWarning, ...]


def merge(layers: Sequence[Layer]) -> Merge:
    """Merge manifests, of which the last is the highest; there is at least one."""
    warnings: list[MergeWarning] = []
    merged, *higher = (migrate(layer.manifest, LATEST, layer.locked) for layer in layers)
    merged = msgspec.structs.replace(merged, include=None)
    for layer, manifest in zip(layers[1:], higher, strict=True):
        step = _Step()
        merged = step.manifest(merged, manifest)
        warnings += [MergeWarning(warning=Overriding(path=path), higher_priority_name=layer.name) for path in step.lost]
    locked = [package for layer in layers for package in layer.locked]
    schemas = SCHEMAS[SCHEMAS.index(layers[-1].manifest.schema) :]
    manifest = next(filter(None, (_in_schema(merged, schema, locked) for schema in schemas)), merged)
    return Merge(manifest, tuple(warnings))


def overridden(warnings: Iterable[MergeWarning], includes: Iterable[str]) -> dict[str, list[Path]]:
    """Return the keys that each layer has replaced, lowest layer first; a key belongs to the last that replaced it."""
    last = {warning.warning.path: warning.higher_priority_name for warning in warnings}
    return {
        name: paths
        for name in (*includes, COMPOSER)
        if (paths := sorted(path for path, winner in last.items() if winner == name))
    }


def _in_schema(manifest: Manifest, schema: str, locked: Iterable[LockedOutputs]) -> Manifest | None:
    """Return a manifest of the latest schema in an earlier one, or None if that cannot say the same."""
    install = manifest.install
    if schema == "1":  # its packages have all their outputs
        install = {
            name: msgspec.structs.replace(package, outputs=None)
            if isinstance(package, CatalogPackage | FlakePackage) and package.outputs == "all"
            else package
            for name, package in install.items()
        }
    candidate = msgspec.structs.replace(manifest, schema=schema, install=install)
    report = Report(mend="")  # as in a lock: what a schema has counts, and no rule
    from_table(record(candidate), report)
    return None if report.problems or migrate(candidate, LATEST, locked) != manifest else candidate


class _Step:
    """One manifest merged into those below it; keeps the paths of what the higher one has replaced."""

    def __init__(self) -> None:
        self.lost: list[Path] = []

    def manifest(self, low: Manifest, high: Manifest) -> Manifest:
        """Return the merge of two manifests of the same schema."""
        return Manifest(
            schema=high.schema,
            description=self._one(("description",), low.description, high.description),
            minimum_cli_version=self._minimum(low.minimum_cli_version, high.minimum_cli_version),
            install=self._map(("install",), low.install, high.install),
            pkg_groups=self._map(("pkg-groups",), low.pkg_groups, high.pkg_groups),
            vars=self._map(("vars",), low.vars, high.vars),
            hook=_hooks(low.hook, high.hook),
            profile=_profiles(low.profile, high.profile),
            options=self._table(("options",), low.options, high.options) or high.options,
            services=self._services(low.services, high.services),
            build=self._map(("build",), low.build, high.build),
            containerize=self._containers(low.containerize, high.containerize),
            plugins=self._map(("plugins",), low.plugins, high.plugins),
        )

    def _one(self, path: Path, low: Value | None, high: Value | None) -> Value | None:
        if low is not None and high is not None:
            self.lost.append(path)
        return low if high is None else high

    def _minimum(self, low: _Minimum, high: _Minimum) -> _Minimum:
        self._one(("minimum-cli-version",), low, high)  # of its union, mypy would make an object
        return low if high is None else high

    def _map(self, path: Path, low: Mapping[str, Value], high: Mapping[str, Value]) -> dict[str, Value]:
        self.lost += [(*path, key) for key in sorted(high) if key in low]
        return dict(sorted({**low, **high}.items()))

    def _table(self, path: Path, low: Table | None, high: Table | None) -> Table | None:
        """Return two tables of options as one, key by key, down to the values."""
        if low is None or high is None:
            return low if high is None else high
        values = {}
        for name, key in zip(low.__struct_fields__, low.__struct_encode_fields__, strict=True):
            lower, higher = getattr(low, name), getattr(high, name)
            one = self._table if isinstance(lower, msgspec.Struct) and isinstance(higher, msgspec.Struct) else self._one
            values[name] = one((*path, key), lower, higher)
        return msgspec.structs.replace(high, **values)

    def _services(self, low: Services | None, high: Services | None) -> Services | None:
        if low is None or high is None:
            return low if high is None else high
        return Services(
            auto_start=low.auto_start if high.auto_start is None else high.auto_start,
            services=self._map(("services",), low.services, high.services),
        )

    def _containers(self, low: Containerize | None, high: Containerize | None) -> Containerize | None:
        if low is None or high is None or low.config is None or high.config is None:
            if low is not None and high is not None:
                return Containerize(config=low.config if high.config is None else high.config)
            return low if high is None else high
        path: Path = ("containerize", "config")
        values: dict[str, Any] = {}
        for name, key in zip(ContainerConfig.__struct_fields__, ContainerConfig.__struct_encode_fields__, strict=True):
            lower, higher = getattr(low.config, name), getattr(high.config, name)
            if isinstance(lower, frozenset) and isinstance(higher, frozenset):
                values[name] = lower | higher
            elif isinstance(lower, Mapping) and isinstance(higher, Mapping):
                values[name] = self._map((*path, key), lower, higher)
            else:
                values[name] = self._one((*path, key), lower, higher)
        return Containerize(config=ContainerConfig(**values))


def _joined(first: str | None, second: str | None) -> str | None:
    return f"{first}\n{second}" if first is not None and second is not None else second if first is None else first


def _hooks(low: Hook | None, high: Hook | None) -> Hook | None:
    if low is None or high is None:
        return low if high is None else high
    return Hook(
        on_activate=_joined(low.on_activate, high.on_activate),
        on_deactivate=_joined(high.on_deactivate, low.on_deactivate),
    )


def _scripts(first: ProfileScripts, second: ProfileScripts) -> dict[str, str | None]:
    return {name: _joined(getattr(first, name), getattr(second, name)) for name in ProfileScripts.__struct_fields__}


def _profiles(low: Profile | None, high: Profile | None) -> Profile | None:
    if low is None or high is None:
        return low if high is None else high
    undo = high.deactivate if low.deactivate is None else low.deactivate
    if low.deactivate is not None and high.deactivate is not None:
        undo = ProfileScripts(**_scripts(high.deactivate, low.deactivate))
    return Profile(**_scripts(low, high), deactivate=undo)
