"""manifest.lock: the manifest that was locked, and what was chosen for each of its packages on each system.

The file is JSON with two spaces of indentation and a line feed at the end. `lockfile-version` is 1. `manifest` is the
manifest as `record` writes it. If environments are included, `manifest` is the merged one, and `compose` holds the
project's own manifest, each included manifest with its name and descriptor, and the warnings of the merge.

`packages` has one entry for each package and system. An entry has one of three shapes, which differ by a required key:
a package from a catalogue (keys in snake case), one from a flake (kebab case, except for `install_id`), or a store
path. An optional key without a value is left out.

Oddities of real locks: `outputs_to_install` may hold duplicates; old locks hold empty tables, hold null for a missing
value, or lack the last line feed. All of this is kept, but for null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from esker.errors import InvalidLock, Problem
from esker.formats.manifest import Included, Manifest, from_table, record
from esker.formats.manifest_values import Natural, System
from esker.formats.tables.reader import Path, ReadBy, Report, dotted, read
from esker.formats.untrusted import json_value

__all__ = [
    "CatalogLocked",
    "Compose",
    "FlakeLocked",
    "IncludedManifest",
    "LockedPackage",
    "Lockfile",
    "MergeWarning",
    "Overriding",
    "StorePathLocked",
    "differences",
    "parse",
    "render",
]

_MEND = "remove the file, then make the lock again: esker lock"


def _manifest(value: Any, report: Report) -> Manifest | None:
    if not isinstance(value, dict):
        report.refuse((), "invalid type: the manifest is not an object", _MEND)
        return None
    if value.get("options") is None:
        report.refuse((), "missing field `options`", _MEND)
    return from_table(value, report)


LockedManifest = Annotated[Manifest, ReadBy(_manifest)]


class _Entry(msgspec.Struct, frozen=True):
    """A table of a lock; its fields stand in the order in which the keys are written."""


class CatalogLocked(_Entry, frozen=True, kw_only=True):
    """A package from a catalogue, on one system."""

    attr_path: str
    broken: bool | None = None
    derivation: str
    description: str | None = None
    install_id: str
    license: str | None = None
    locked_url: str
    name: str
    pname: str
    rev: str
    rev_count: Natural
    rev_date: str
    scrape_date: str
    stabilities: tuple[str, ...] | None = None
    unfree: bool | None = None
    version: str
    outputs_to_install: tuple[str, ...] | None = None
    """May name an output more than once."""
    outputs: Mapping[str, str]
    """The store path of each output."""
    system: System
    group: str
    priority: Natural

    def store_paths(self) -> tuple[str, ...]:
        """Return the store paths that are installed unless the manifest chooses other outputs."""
        return _installed(self.outputs, self.outputs_to_install)


class FlakeLocked(_Entry, frozen=True, kw_only=True, rename="kebab"):
    """A package from a flake, on one system."""

    install_id: str = msgspec.field(name="install_id")
    locked_url: str
    flake_description: str | None = None
    locked_flake_attr_path: str
    derivation: str
    outputs: Mapping[str, str]
    """The store path of each output."""
    output_names: tuple[str, ...]
    outputs_to_install: tuple[str, ...] | None = None
    requested_outputs_to_install: tuple[str, ...] | None = None
    package_system: System
    system: System
    name: str
    pname: str | None = None
    version: str | None = None
    description: str | None = None
    licenses: tuple[str, ...] | None = None
    broken: bool | None = None
    unfree: bool | None = None
    priority: Natural | None = None
    """None means 5."""

    def store_paths(self) -> tuple[str, ...]:
        """Return the store paths that are installed unless the manifest chooses other outputs."""
        return _installed(self.outputs, self.requested_outputs_to_install or self.outputs_to_install)


class StorePathLocked(_Entry, frozen=True, kw_only=True):
    """A store path on one system."""

    install_id: str
    store_path: str
    system: System
    priority: Natural

    def store_paths(self) -> tuple[str, ...]:
        """Return the one store path."""
        return (self.store_path,)


LockedPackage = CatalogLocked | FlakeLocked | StorePathLocked


class IncludedManifest(_Entry, frozen=True, kw_only=True):
    """An environment that was included: its merged manifest, its name, and how the including manifest refers to it."""

    manifest: LockedManifest
    name: str
    descriptor: Included


class Overriding(_Entry, frozen=True, kw_only=True):
    """The path of a key that a higher layer overrides."""

    path: tuple[str, ...] = msgspec.field(name="Overriding")


class MergeWarning(_Entry, frozen=True, kw_only=True):
    """A warning of the merge: what was overridden, and the layer that did it."""

    warning: Overriding
    higher_priority_name: str


class Compose(_Entry, frozen=True, kw_only=True):
    """The manifests that were merged, and the warnings of the merge; `include` begins with the lowest layer."""

    composer: LockedManifest
    """The project's own manifest."""
    include: tuple[IncludedManifest, ...]
    warnings: tuple[MergeWarning, ...]


class _Contents(_Entry, frozen=True, kw_only=True):
    """The keys of a manifest.lock."""

    lockfile_version: int = msgspec.field(default=1, name="lockfile-version")
    manifest: LockedManifest
    packages: tuple[LockedPackage, ...]
    compose: Compose | None = None


class Lockfile(_Contents, frozen=True, kw_only=True):
    """A whole manifest.lock."""

    ends_with_line_feed: bool = True
    """Whether the file ends with a line feed, which old ones lack."""

    def own_manifest(self) -> Manifest:
        """Return the project's own manifest, as it was before included ones were merged into it."""
        return self.compose.composer if self.compose else self.manifest


def _installed(outputs: Mapping[str, str], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the store path of each named output once; without names, of every output."""
    return tuple(outputs[name] for name in dict.fromkeys(outputs if names is None else names) if name in outputs)


def parse(data: bytes, path: str = "manifest.lock") -> Lockfile:
    """Read a lock; raise InvalidLock with every problem."""
    try:
        table = json_value(data)
    except json.JSONDecodeError as error:
        raise InvalidLock(path, [Problem(f"not JSON: {error.msg}", line=error.lineno, hint=_MEND)]) from None
    except ValueError as error:
        raise InvalidLock(path, [Problem(f"not JSON: {error}", hint=_MEND)]) from None
    report = Report(mend=_MEND)
    if isinstance(table, dict):
        _check_version(table.get("lockfile-version"), report)
    contents = read(_Contents, table, report)
    if report.problems or contents is None:
        raise InvalidLock(path, report.problems)
    return Lockfile(**msgspec.structs.asdict(contents), ends_with_line_feed=data.endswith(b"\n"))


def _check_version(version: object, report: Report) -> None:
    if version is None:
        report.refuse((), "missing field `lockfile-version`", _MEND)
    elif type(version) is int and version != 1:
        hint = "use a newer Esker, or make the lock again"
        report.problems.append(Problem(f"lockfile version `{version}` is not known", hint=hint))


def render(lockfile: Lockfile) -> bytes:
    """Return a lock as Flox writes it, byte for byte."""
    contents = _plain(lockfile)
    ending = b"\n" if contents.pop("ends_with_line_feed") else b""
    return json.dumps(contents, indent=2, ensure_ascii=False).encode() + ending


def _plain(value: Any) -> Any:
    if isinstance(value, Manifest):
        return record(value)
    if isinstance(value, msgspec.Struct):
        keys = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {key: _plain(field) for name, key in keys if (field := getattr(value, name)) is not None}
    if isinstance(value, Mapping):
        return {key: value[key] for key in sorted(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def differences(locked: Manifest, declared: Manifest) -> tuple[str, ...]:
    """Return one line for each key that was added, removed or changed since a manifest was locked.

    An empty table counts as absent. Values are not shown, because they may be private.
    """
    return tuple(_differences(_significant(locked), _significant(declared), ()))


def _significant(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest's record in a form to compare: one key for the schema, and nothing that is empty."""
    recorded = record(manifest)
    allow = recorded["options"].get("allow", {})
    if allow.get("licenses") == []:
        del allow["licenses"]
    version = recorded.pop("version", None)
    return _without_empty({"schema-version": version, **recorded} if version else recorded)


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    inner = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in inner.items() if value != {}}


def _differences(locked: dict[str, Any], declared: dict[str, Any], path: Path) -> Iterator[str]:
    for key in sorted(locked.keys() | declared.keys()):
        before, after = locked.get(key), declared.get(key)
        if before == after:
            continue
        here = (*path, key)
        # A whole section that was added or removed is reported key by key.
        if not path and isinstance(before or after, dict):
            before, after = before or {}, after or {}
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, here)
        else:
            word = "added" if before is None else "removed" if after is None else "changed"
            yield f"`{dotted(here)}` was {word}"
