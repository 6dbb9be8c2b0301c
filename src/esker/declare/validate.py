"""Reads a manifest together with `[plugins.esker]`, Esker's own table in it, and checks one against the other."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import pairwise
from typing import Any

from esker.declare.declaration import JOINED, EskerTable, GuixTable, NixTable, ServiceTable
from esker.errors import InvalidManifest
from esker.formats.manifest import PLUGINS_SINCE, Manifest, Service, Shutdown, document, from_table
from esker.formats.references import cycle
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
    containers = set(esker.compose.chosen) if esker.compose else set()
    included = manifest.include.environments if manifest.include else ()
    if not included:  # an included environment may declare the service, or name the base
        yield from _python_without_base(esker, values)
        yield from _undeclared_services(esker, own)
        if esker.compose is None or containers:  # an empty list means every service of a file that we have not read
            yield from _unknown_dependencies(esker, own | containers)
    yield from _disagreements(esker, manifest, values)
    yield from _systems_of_conda(esker)
    yield from _ports_of_containers(esker, manifest)
    if esker.nix != NixTable() and esker.runtime != "nix":
        message = "`nix` says what of a flake the environment is, but the environment is not one of Nix"
        yield Fault(("nix",), message, 'add `runtime = "nix"` to [plugins.esker], or take this table out')
    if esker.guix != GuixTable() and esker.runtime != "guix":
        message = "`guix` says which files Guix reads, but the environment is not one of Guix"
        yield Fault(("guix",), message, 'add `runtime = "guix"` to [plugins.esker], or take this table out')
    if esker.compose is not None and esker.compose.services_from is None:
        for name in sorted(own & containers):
            path = ("compose", "services", str(esker.compose.chosen.index(name)))
            hint = "say which of them counts, by `services-from`, or rename one"
            yield Fault(path, f"`{name}` is a service of [services] too", hint)
    for name, service in esker.services.items():
        for variable in sorted(service.ports.keys() & manifest.vars.keys()):
            message = f"`{variable}` is a port of `{name}`, and is set in [vars] too"
            hint = "remove it from [vars]: Esker sets it for the whole environment"
            yield Fault(("services", name, "ports", variable), message, hint)


def _ports_of_containers(esker: EskerTable, manifest: Manifest) -> Iterator[Fault]:
    """A variable that gets the port of a container has no other meaning."""
    meanings = {variable: f"a port of `{name}`" for name, each in esker.services.items() for variable in each.ports}
    meanings |= dict.fromkeys(manifest.vars, "set in [vars]")
    for name, table in (esker.compose.tables if esker.compose else {}).items():
        for variable in table.ports:
            if variable in meanings:
                message = f"`{variable}` is a port of the container `{name}`, and {meanings[variable]} too"
                yield Fault(("compose", "services", name, "ports", variable), message, "give each its own variable")
            meanings[variable] = f"a port of the container `{name}`"


def _systems_of_conda(esker: EskerTable) -> Iterator[Fault]:
    """A conda package is for some system, or for all."""
    for number, entry in enumerate(esker.conda.dependencies if esker.conda else ()):
        if not isinstance(entry, str) and entry.systems == ():
            path = ("conda", "dependencies", str(number), "systems")
            yield Fault(path, f"`{entry.spec}` is for no system", "name some, or leave `systems` out for all")


def _python_without_base(esker: EskerTable, values: Mapping[str, Any]) -> Iterator[Fault]:
    """A Python of the base is stated only if there is a base; one that is written wrongly is a fault of its own."""
    if esker.image is not None and esker.image.python is not None and "from" not in values["plugins"]["esker"]["image"]:
        hint = "name the base (`from`); or take `python` out, and conda's Python or one of uv's is used"
        yield Fault(("image", "python"), "`python` states a program of the base, and no base is named", hint)


def _undeclared_services(esker: EskerTable, own: set[str]) -> Iterator[Fault]:
    for name in esker.services:
        if name not in own:
            hint = near(name, own) or f"add `[services.{name}]` with its command, or remove this table"
            yield Fault(("services", name), f"[services] has no service `{name}`", hint)


def _unknown_dependencies(esker: EskerTable, services: set[str]) -> Iterator[Fault]:
    for name, service in esker.services.items():
        for needed in service.depends_on:
            if needed not in services:
                hint = (
                    near(needed, services)
                    or f"add `[services.{needed}]`, or `[plugins.esker.compose]` if a Compose file has it"
                )
                yield Fault(
                    ("services", name, "depends-on", needed),
                    f"`{name}` depends on `{needed}`, which is not a service",
                    hint,
                )


def _disagreements(esker: EskerTable, manifest: Manifest, values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what a service's two tables do not say alike, and a cycle that goes through both."""
    flox = manifest.services.services if manifest.services else {}
    table_of_esker = values["plugins"]["esker"]
    written = table_of_esker.get("services") if isinstance(table_of_esker, Mapping) else None
    for name, table in esker.services.items():
        if name in flox:
            own = written.get(name) if isinstance(written, Mapping) else None
            keys = own.keys() if isinstance(own, Mapping) else ()
            for fault in (*_two_conditions(name, table, flox[name]), *_two_shutdowns(name, table, flox[name], keys)):
                yield fault._replace(path=("services", name, *fault.path))
    ours = {name: table.depends_on.keys() & flox.keys() for name, table in esker.services.items() if name in flox}
    theirs = {name: (service.depends_on or {}).keys() & flox.keys() for name, service in flox.items()}
    loop = cycle({name: theirs[name] | ours.get(name, set()) for name in flox})
    # Esker's table alone is checked by its own rule. Flox accepts a cycle in its table, until the services start.
    if loop and not cycle(theirs) and not cycle(ours):
        first = next(name for name, needed in pairwise(loop) if needed in ours.get(name, ()))
        message = f"Found a dependency cycle among services, through [services]: {' → '.join(loop)}"
        yield Fault(("services", first, "depends-on"), message, "remove one of these dependencies")


def _two_conditions(name: str, table: ServiceTable, service: Service) -> Iterator[Fault]:
    for target, condition in table.depends_on.items():
        dependency = (service.depends_on or {}).get(target)
        if dependency is not None and JOINED[dependency.condition] != condition:
            message = (
                f"`{name}` waits for `{target}` in two ways: `{dependency.condition}` in [services], `{condition}` here"
            )
            same = next((own for own, joined in JOINED.items() if joined == condition), None)
            agree = f"write `{same}` in [services.{name}]" if same else "[services] has no word for this condition"
            yield Fault(("depends-on", target), message, f"keep one of the two, or make them agree: {agree}")


def _two_shutdowns(name: str, table: ServiceTable, service: Service, written: Container[str]) -> Iterator[Fault]:
    import signal

    shutdown = service.shutdown or Shutdown()
    number = signal.Signals[table.stop_signal].value
    if "stop-signal" in written and shutdown.signal not in {None, number}:
        message = f"`{name}` is stopped by signal {shutdown.signal} in [services], by {table.stop_signal} here"
        yield Fault(("stop-signal",), message, f"keep one of the two, or write `shutdown.signal = {number}` there")
    if "stop-grace-period" in written and shutdown.timeout_seconds not in {None, table.stop_grace_period}:
        message = f"`{name}` may take {shutdown.timeout_seconds} s to stop in [services], another time here"
        yield Fault(("stop-grace-period",), message, "keep one of the two, or make them agree")
