"""`[plugins.esker]`: what Flox has no word for, read and checked together with the manifest that it stands in."""

from collections.abc import Iterator, Mapping
from typing import Any

from esker.declare.declaration import EskerTable
from esker.formats.manifest import Manifest
from esker.formats.typed_tables import Fault, Path, Report, near, read

__all__ = ["TABLE", "esker_table"]

TABLE: Path = ("plugins", "esker")


def esker_table(manifest: Manifest, document: Mapping[str, Any], report: Report) -> EskerTable:
    """Return `[plugins.esker]` of a manifest and its TOML values; what is wrong with it is in the report."""
    plugins = document.get("plugins")
    if not isinstance(plugins, Mapping) or TABLE[1] not in plugins or not report.knows("1.14.0"):
        return EskerTable()
    esker = read(EskerTable, plugins[TABLE[1]], report, TABLE) or EskerTable()
    for fault in _faults(esker, manifest, document):
        report.note((*TABLE, *fault.path), fault.message, fault.hint)
    return esker


def _faults(esker: EskerTable, manifest: Manifest, document: Mapping[str, Any]) -> Iterator[Fault]:
    declared = document.get("services")
    own = set(declared) - {"auto-start"} if isinstance(declared, Mapping) else set()
    containers = set(esker.compose.services) if esker.compose else set()
    if manifest.include is None:  # else a layer below may declare the service
        yield from _strangers(esker, own)
        if esker.compose is None or containers:  # else any name may be one of the file's
            yield from _unknown_dependencies(esker, own | containers)
    for name in sorted(own & containers):
        assert esker.compose is not None
        path = ("compose", "services", str(esker.compose.services.index(name)))
        yield Fault(path, f"`{name}` is a service of [services] too", "rename one of them")
    for name, service in esker.services.items():
        for variable in sorted(service.ports.keys() & manifest.vars.keys()):
            message = f"`{variable}` is a port of `{name}` and stands in [vars] too"
            hint = "remove it from [vars]: a port is exported to the whole environment"
            yield Fault(("services", name, "ports", variable), message, hint)


def _strangers(esker: EskerTable, own: set[str]) -> Iterator[Fault]:
    for name in esker.services:
        if name not in own:
            hint = near(name, own) or f"add `[services.{name}]` with its command, or remove this table"
            yield Fault(("services", name), f"[services] has no service `{name}`", hint)


def _unknown_dependencies(esker: EskerTable, known: set[str]) -> Iterator[Fault]:
    for name, service in esker.services.items():
        for needed in service.depends_on:
            if needed not in known:
                hint = near(needed, known) or f"add `[services.{needed}]`, or remove the dependency"
                yield Fault(
                    ("services", name, "depends-on", needed),
                    f"`{name}` depends on `{needed}`, which is no service",
                    hint,
                )
