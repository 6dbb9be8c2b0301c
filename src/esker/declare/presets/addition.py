"""What one word adds to a manifest: packages, variables and services, written as a person would write them."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from esker.declare.conda_edit import conda_names
from esker.declare.edit import with_requirements
from esker.declare.toml_edit import with_lines
from esker.declare.validate import read_text
from esker.errors import AlreadyExists
from esker.formats.conda.specs import package_of_spec
from esker.formats.tables.positions import positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.declare.edited import Edit
    from esker.declare.presets.catalogue import Preset, Source
    from esker.formats.manifest import LockedOutputs
    from esker.formats.tables.reader import Path

__all__ = ["services_of", "tables", "variables_of", "with_preset"]


def with_preset(
    text: str,
    preset: Preset,
    source: Source,
    locked: Iterable[LockedOutputs] | None = None,
    path: str = "manifest.toml",
) -> Edit:
    """Add a service to the text of the manifest at `path`; packages that it has already stay as they are.

    `locked` is as in `with_requirements`. Raises AlreadyExists if the manifest has one of the services or variables,
    InvalidManifest for the text, and NotEditable if it cannot be edited.
    """
    fragment = preset.fragment(source)
    _check_new(text, fragment, preset, path)
    esker = read_text(text, path)[1]
    is_conda = source == "conda"
    if is_conda:
        present = conda_names(esker.conda) if esker.conda else []
    else:
        present = [_wheel(each) for each in esker.python.dependencies] if esker.python else []
    name = package_of_spec if is_conda else _wheel
    missing = [each for each in preset.packages.get(source, ()) if name(each) not in present]
    edit = with_requirements(text, [] if is_conda else missing, specs=missing if is_conda else [], locked=locked)
    edited = edit.text
    for table, lines in tables(fragment):
        edited = with_lines(edited, table, lines)
    return edit._replace(text=edited)


def _wheel(requirement: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def tables(fragment: str) -> Iterator[tuple[Path, str]]:
    """Yield each table of a fragment with the lines below its header; only headers begin with a bracket there."""
    header, lines = "", ""
    for line in fragment.splitlines(keepends=True):
        if line.startswith("["):
            if header:
                yield _path(header), lines
            header, lines = line, ""
        else:
            lines += line
    yield _path(header), lines


def _path(header: str) -> Path:
    """Return the path in the header of a table.

    >>> _path("[services.postgres]")
    ('services', 'postgres')
    """
    path, values = [], tomllib.loads(header)
    while values:
        (key, values), *_ = values.items()
        path.append(key)
    return tuple(path)


def services_of(fragment: str) -> list[str]:
    """Return the names of the services in a fragment, those of containers too."""
    values = tomllib.loads(fragment)
    return [*values.get("services", {}), *_esker(values).get("compose", {}).get("services", {})]


def variables_of(fragment: str) -> list[str]:
    """Return the names of the variables that a fragment sets, ports first."""
    values = tomllib.loads(fragment)
    return [*_ports(_esker(values)), *values.get("vars", {})]


def _esker(values: Mapping[str, Any]) -> Mapping[str, Any]:
    table: Mapping[str, Any] = values.get("plugins", {}).get("esker", {})
    return table


def _ports(esker: Mapping[str, Any]) -> dict[str, Path]:
    """Return the place of each port variable of services and containers, by the variable's name."""
    found = {}
    for above, table in ((("services",), esker), (("compose", "services"), esker.get("compose", {}))):
        services = table.get("services", {})
        for name, service in services.items() if isinstance(services, dict) else ():
            for variable in service.get("ports", {}) if isinstance(service, dict) else ():
                found[variable] = ("plugins", "esker", *above, name, "ports", variable)
    return found


def _check_new(text: str, fragment: str, preset: Preset, path: str) -> None:
    """Raise AlreadyExists for the first service or variable of a fragment that the manifest has."""
    read_text(text, path)  # for its errors
    values = tomllib.loads(text)
    esker = _esker(values)
    containers = esker.get("compose", {}).get("services", {})
    services: dict[str, Path] = {name: ("services", name) for name in values.get("services", {})}
    services |= {name: ("plugins", "esker", "compose", "services", name) for name in containers}
    for name in services_of(fragment):
        if name in services:
            hint = "look at it with `esker services status`, change it with `esker edit`"
            place = _place(text, services[name], path)
            raise AlreadyExists(f"the manifest has a service `{name}` already", hint=hint, place=place)
    variables: dict[str, Path] = {name: ("vars", name) for name in values.get("vars", {})} | _ports(esker)
    for name in variables_of(fragment):
        if name in variables:
            hint = f"{preset.title} would set it: give yours another name (esker edit), then add the service again"
            place = _place(text, variables[name], path)
            raise AlreadyExists(f"the manifest sets `{name}` already", hint=hint, place=place)


def _place(text: str, key: Path, path: str) -> str:
    lines = positions(text)
    while key not in lines:
        key = key[:-1]
    return f"{path}:{lines[key]}"
