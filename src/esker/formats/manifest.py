"""The manifest: what a developer declares in `.flox/env/manifest.toml`, in Flox's format.

A manifest names its schema: `version = 1` (legacy), or `schema-version` with one of the versions in `SCHEMAS`. Each
schema has all keys of the schemas before it, and a few more; 1.16.0 makes one key optional. A key that the schema does
not have is an error, except under `[plugins]`, whose tables belong to other programs. A package in `[install]` has one
of three shapes, which differ by a required key. In `[services]`, the key `auto-start` is a setting, and every other key
is the name of a service.

A lock holds the manifest as JSON with the same keys: `record` makes this form, and `from_table` reads both. Its keys
stand in a fixed order, its maps are sorted by name, and absent keys and empty maps are left out. `options` is always
there, and an empty `[hook]` or `[profile]` is kept. Source of the format: Flox's manual, manifest.toml(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from esker.errors import InvalidManifest, Problem
from esker.formats.manifest_schema import (
    LATEST,
    PLUGINS_SINCE,
    SCHEMAS,
    ActivateOptions,
    Allow,
    Build,
    BuildVersionCommand,
    BuildVersionFile,
    CatalogPackage,
    ContainerConfig,
    Containerize,
    FlakePackage,
    Hook,
    Include,
    Included,
    IncludedDirectory,
    IncludedReference,
    IncludedRemote,
    Manifest,
    MinimumVersion,
    Options,
    Package,
    PackageGroup,
    Profile,
    ProfileScripts,
    Semver,
    StorePathPackage,
)
from esker.formats.manifest_services import Dependency, Service, Services, Shutdown, Systemd, undefined_dependencies
from esker.formats.references import vars_in_order
from esker.formats.syntax import syntax_problem
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import EmptyTable, Fault, Report, listed, order, read
from esker.formats.untrusted import TooDeep, toml_table

__all__ = [
    "LATEST",
    "PLUGINS_SINCE",
    "SCHEMAS",
    "ActivateOptions",
    "Allow",
    "Build",
    "BuildVersionCommand",
    "BuildVersionFile",
    "CatalogPackage",
    "ContainerConfig",
    "Containerize",
    "Dependency",
    "FlakePackage",
    "Hook",
    "Include",
    "Included",
    "IncludedDirectory",
    "IncludedReference",
    "IncludedRemote",
    "Manifest",
    "MinimumVersion",
    "Options",
    "Package",
    "PackageGroup",
    "Profile",
    "ProfileScripts",
    "Semver",
    "Service",
    "Services",
    "Shutdown",
    "StorePathPackage",
    "Systemd",
    "disabled_systems",
    "document",
    "from_table",
    "migrate",
    "parse",
    "record",
    "vars_in_order",
]


def parse(text: str, path: str = "manifest.toml") -> Manifest:
    """Read a manifest.

    Raises InvalidManifest with every problem of the text, each with line and hint. If the text is not TOML, the syntax
    error is the only problem.
    """
    table, report = document(text, path)
    manifest = from_table(table, report)
    if report.problems:
        raise InvalidManifest(path, report.problems)
    return manifest


def document(text: str, path: str = "manifest.toml") -> tuple[dict[str, Any], Report]:
    """Read TOML; return its values, and an empty report that knows the line of each key."""
    import tomllib

    try:
        return toml_table(text), Report(positions(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidManifest(path, [syntax_problem(str(error), text)]) from None
    except TooDeep as error:
        problem = Problem(str(error), hint="use fewer tables or arrays inside each other")
        raise InvalidManifest(path, [problem]) from None
    except ValueError:
        problem = Problem("a number has too many digits", hint="write a number with fewer digits")
        raise InvalidManifest(path, [problem]) from None


def from_table(table: Mapping[str, Any], report: Report) -> Manifest:
    """Read a manifest from the values of its TOML or of a lock's JSON.

    Mistakes are added to the report, and the manifest holds everything else. A report with `mend` is for a lock: its
    manifest has passed the rules for manifests already, in the version of Flox that wrote it.
    """
    schema = _schema(table, report)
    if _is_newer(schema):
        report = Report(mend=report.mend)  # what the newer schema allows cannot be known, so nothing else is a mistake
        schema = LATEST
    report.schema = "1.0.0" if schema == "1" else schema
    if "version" in table and "schema-version" in table:
        message, hint = "unknown field `schema-version`", "`version` decides the schema: remove one of the two"
        report.note(("schema-version",), message, hint)
    others = {key: value for key, value in table.items() if key not in {"version", "schema-version"}}
    manifest = read(Manifest, {"schema-version": schema, **others}, report)
    assert manifest is not None  # the one required field is there
    if manifest.include is not None:
        manifest = msgspec.structs.replace(manifest, include=_without_aliases(manifest.include))
    if report.mend is not None:
        return manifest
    if manifest.services == Services():  # a header alone says nothing
        manifest = msgspec.structs.replace(manifest, services=None)
    if manifest.include == Include():
        manifest = msgspec.structs.replace(manifest, include=None)
    if manifest.options != Options():
        manifest = msgspec.structs.replace(manifest, options=_without_empty(manifest.options))
    for fault in (*disabled_systems(manifest), *_undefined_services(manifest, table)):
        report.note(fault.path, fault.message, fault.hint)
    return manifest


def _without_aliases(include: Include) -> Include:
    """Return the included environments with `remote` for its alias, as Flox writes them into a lock."""
    environments = tuple(
        IncludedRemote(remote=each.reference, name=each.name, generation=each.generation)
        if isinstance(each, IncludedReference)
        else each
        for each in include.environments
    )
    return Include(environments=environments)


def _without_empty(options: Options) -> Options:
    """Return options without headers below which nothing stands, which Flox leaves out of a lock."""
    empty = {"allow": Allow(), "semver": Semver(), "activate": ActivateOptions()}
    gone = {name: None for name, nothing in empty.items() if getattr(options, name) == nothing}
    return msgspec.structs.replace(options, **gone)


def _undefined_services(manifest: Manifest, table: Mapping[str, Any]) -> Iterator[Fault]:
    if manifest.services is None or manifest.include is not None:  # an included environment may define the service
        return
    for fault in undefined_dependencies(manifest.services, frozenset(table["services"])):
        yield fault._replace(path=("services", *fault.path))


def _schema(table: Mapping[str, Any], report: Report) -> str:
    """Return the schema that a manifest names; a problem, and the latest, if it names none or one that never existed.

    A schema that is newer than every known one is a problem as well, and is returned.
    """
    key = "version" if "version" in table else "schema-version"
    value = table.get(key)
    if value is None:
        message = "manifest 'schema-version' field is missing"
        report.refuse((), message, f'begin the file with `schema-version = "{LATEST}"`')
    elif key == "version" and type(value) is not int:
        report.note((key,), "'version' field must be an integer", "write `version = 1`")
    elif key == "schema-version" and not isinstance(value, str):
        message = "'schema-version' field must be a version string like \"X.Y.Z\""
        report.note((key,), message, f'write `schema-version = "{LATEST}"`')
    elif value == 1 or value in SCHEMAS[1:]:
        return str(value)
    else:
        message = f"manifest had invalid schema version '{value}'"
        if isinstance(value, str) and _is_newer(value):
            report.note((key,), message, _newer(value, is_lock=report.mend is not None), is_mend=True)
            return value
        known = f"`version = 1`, or `schema-version` with {listed(SCHEMAS[1:])}"
        report.note((key,), message, f"write {known}")
    return LATEST


def _is_newer(schema: str) -> bool:
    return bool(re.fullmatch(r"\d{1,9}(\.\d{1,9}){2}", schema)) and order(schema) > order(LATEST)


def _newer(schema: str, *, is_lock: bool) -> str:
    """Return what to do about a schema that is newer than every known one."""
    hint = f"schema {schema} is newer than this Esker knows (up to {LATEST}): update Esker, or go on with Flox {schema}"
    if is_lock:
        return f"{hint}, which wrote this lock"
    return f'{hint}; without keys of a newer schema, `schema-version = "{LATEST}"` is enough'


def disabled_systems(manifest: Manifest) -> Iterator[Fault]:
    """Yield a fault for each package that is declared for a system which `options.systems` leaves out."""
    enabled = manifest.options.systems
    if enabled is None:
        return
    for name, package in manifest.install.items():
        for index, system in enumerate(package.systems or ()):
            if system not in enabled:
                message = (
                    f"'{name}' specifies disabled or unknown system '{system}' (enabled systems: {', '.join(enabled)})."
                )
                message += f"\n\nAdd '{system}' to 'options.systems' in manifest.toml"
                yield Fault(
                    ("install", name, "systems", str(index)), message, "or remove it from the package's systems"
                )


def record(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest in the form that a lock holds as JSON."""
    fields = _record(manifest)
    schema = fields.pop("schema-version")
    return {"version": 1, **fields} if schema == "1" else {"schema-version": schema, **fields}


def _record(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _table_record(value)
    if isinstance(value, Mapping):
        return {key: _record(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [_record(item) for item in value]
    return value


def _table_record(table: msgspec.Struct) -> dict[str, Any]:
    if isinstance(table, Include) and not table.environments:
        return {}
    keys = zip(table.__struct_fields__, table.__struct_encode_fields__, strict=True)
    values = {key: value for name, key in keys if (value := getattr(table, name)) is not None}
    if isinstance(table, Services):
        values.update(values.pop("services"))
    plain = {key: _record(value) for key, value in values.items()}
    return {key: plain[key] for key, value in values.items() if plain[key] != {} or _is_kept_empty(value)}


def _is_kept_empty(value: object) -> bool:
    # Flox keeps empty tables such as `[hook]` and `options` in a lock, and our locks are the same byte for byte.
    return isinstance(value, (msgspec.Struct, EmptyTable))


class LockedOutputs(Protocol):
    """What `migrate` needs to know of a locked package on one system."""

    @property
    def install_id(self) -> str:
        """The package's name in the manifest."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The store path of each output."""

    @property
    def outputs_to_install(self) -> tuple[str, ...] | None:
        """The outputs that are installed unless the manifest chooses others."""


def migrate(manifest: Manifest, to: str = LATEST, locked: Iterable[LockedOutputs] | None = None) -> Manifest:
    """Return a manifest in the schema `to`; one that has this schema or a later one is returned unchanged.

    Version 1 installs every output of a package, but later schemas install only its default outputs. So a package from
    version 1 gets `outputs = "all"`, unless `locked` shows that its default outputs are all of its outputs.
    """
    if SCHEMAS.index(manifest.schema) >= SCHEMAS.index(to):
        return manifest
    install = manifest.install
    if manifest.schema == "1":
        install = {name: _with_all_outputs(name, package, locked) for name, package in install.items()}
    return msgspec.structs.replace(manifest, schema=to, install=install)


def _with_all_outputs(name: str, package: Package, locked: Iterable[LockedOutputs] | None) -> Package:
    if isinstance(package, StorePathPackage):
        return package
    entries = [entry for entry in locked or () if entry.install_id == name]
    every = {output for entry in entries for output in entry.outputs}
    installed = {output for entry in entries for output in entry.outputs_to_install or ()}
    return package if entries and every == installed else msgspec.structs.replace(package, outputs="all")
