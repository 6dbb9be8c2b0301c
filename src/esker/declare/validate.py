"""Reads a manifest together with `[plugins.esker]`, Esker's own table in it, and checks one against the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from esker.declare.declaration import EskerTable
from esker.errors import InvalidManifest
from esker.formats.manifest import PLUGINS_SINCE, Manifest, document, from_table
from esker.formats.tables.reader import Fault, Path, Report, near, read

__all__ = ["esker_table", "read_text"]

_TABLE: Path = ("plugins", "esker")


def read_text(text: str, path: str = "manifest.toml") -> tuple[Manifest, EskerTable]:
    """Read a manifest and Esker's table in it; raises InvalidManifest with every problem of both."""
    values, report = document(text, path)
    manifest = from_table(values, report)
    esker = esker_table(manifest, values, report)
    if report.problems:
        raise InvalidManifest(path, report.problems)
    return manifest, esker


def esker_table(manifest: Manifest, values: Mapping[str, Any], report: Report) -> EskerTable:
    """Return `[plugins.esker]` from the TOML `values` of a manifest; problems are added to `report`."""
    plugins = values.get("plugins")
    if not isinstance(plugins, Mapping) or _TABLE[1] not in plugins or not report.knows(PLUGINS_SINCE):
        return EskerTable()
    esker = read(EskerTable, plugins[_TABLE[1]], report, _TABLE) or EskerTable()
    for fault in _faults(esker, manifest, values):
        report.note((*_TABLE, *fault.path), fault.message, fault.hint)
    return esker


def _faults(esker: EskerTable, manifest: Manifest, values: Mapping[str, Any]) -> Iterator[Fault]:
    declared = values.get("services")
    own = set(declared) - {"auto-start"} if isinstance(declared, Mapping) else set()
    containers = set(esker.compose.services) if esker.compose else set()
    if manifest.include is None:  # an included environment may declare the service
        yield from _undeclared_services(esker, own)
        if esker.compose is None or containers:  # an empty list means every service of a file that we have not read
            yield from _unknown_dependencies(esker, own | containers)
    for name in sorted(own & containers):
        assert esker.compose is not None
        path = ("compose", "services", str(esker.compose.services.index(name)))
        yield Fault(path, f"`{name}` is a service of [services] too", "rename one of them")
    for name, service in esker.services.items():
        for variable in sorted(service.ports.keys() & manifest.vars.keys()):
            message = f"`{variable}` is a port of `{name}`, and is set in [vars] too"
            hint = "remove it from [vars]: Esker sets it for the whole environment"
            yield Fault(("services", name, "ports", variable), message, hint)


def _undeclared_services(esker: EskerTable, own: set[str]) -> Iterator[Fault]:
    for name in esker.services:
        if name not in own:
            hint = near(name, own) or f"add `[services.{name}]` with its command, or remove this table"
            yield Fault(("services", name), f"[services] has no service `{name}`", hint)


def _unknown_dependencies(esker: EskerTable, services: set[str]) -> Iterator[Fault]:
    for name, service in esker.services.items():
        for needed in service.depends_on:
            if needed not in services:
                hint = near(needed, services) or f"add `[services.{needed}]`, or remove the dependency"
                yield Fault(
                    ("services", name, "depends-on", needed),
                    f"`{name}` depends on `{needed}`, which is not a service",
                    hint,
                )
