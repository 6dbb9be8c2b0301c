"""`pixi.toml`: pixi's workspace, of which its default environment without features is taken.

The keys are pixi's: `[workspace]` (once `[project]`) with channels and platforms, `[dependencies]`,
`[pypi-dependencies]`, `[system-requirements]`, `[activation.env]`, and `[target.PLATFORM.dependencies]` for what only
some platforms need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.declare import notations
from esker.declare.adopt.conda_environment import taken_channels
from esker.declare.adopt.found import Found, NotTaken, Spec, Unreadable, conda_spec, left_out, misspelt, wheel
from esker.declare.adopt.variables import variables
from esker.formats.conda.specs import system_of_subdir
from esker.formats.conda.subdirs import SUBDIRS
from esker.formats.systems import SYSTEMS
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Refusal
from esker.formats.untrusted import toml_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.adopt.found import Read

__all__ = ["pixi"]

_READ = {"workspace", "project", "dependencies", "pypi-dependencies", "system-requirements", "activation", "target"}
_REASONS = {
    "tasks": "write what runs in the environment into scripts, or as [services]",
    "feature": "an environment of Esker has one set of packages",
    "environments": "an environment of Esker has one set of packages",
    **dict.fromkeys(("build-dependencies", "host-dependencies", "package"), "it is for building a package"),
    "pypi-options": "which index is used is a setting of the machine, in uv.toml",
}
_TARGETS = {
    "linux": tuple(system for system in SYSTEMS if system.endswith("-linux")),
    "osx": tuple(system for system in SYSTEMS if system.endswith("-darwin")),
    "unix": None,
    **{subdir: (system,) for system, subdir in SUBDIRS.items()},
}
_MACHINE = ("linux", "libc", "macos", "cuda", "archspec")


def pixi(text: str, file: str, _: Read) -> Found:
    """Return what a pixi.toml declares; raises Unreadable if it is not valid."""
    try:
        values = toml_table(text)
    except ValueError as error:
        raise Unreadable("it is not valid TOML") from error
    lines = positions(text)
    told = list(_unread(values, file, lines))
    workspace = _table(values, "workspace") or _table(values, "project")
    told += _slips(workspace, "workspace" if "workspace" in values else "project", file, lines)
    entries = [each.get("channel") if isinstance(each, dict) else each for each in _list(workspace, "channels")]
    channels, without = taken_channels(entries, file)
    systems, foreign = _systems(_list(workspace, "platforms"), file)
    specs, unknown = _specs(values, file)
    requirements, local = _requirements(_table(values, "pypi-dependencies"), file)
    machine, strange = _machine(_table(values, "system-requirements"), file)
    activation = _table(values, "activation")
    taken, without_meaning = variables(activation.get("env"), file)
    if activation.get("scripts"):
        without_meaning.append(left_out(file, "activation.scripts", "write what they do into [hook]"))
    return Found(
        file,
        requirements=tuple(requirements),
        specs=tuple(specs),
        channels=channels,
        systems=systems,
        machine=machine,
        variables=taken,
        left_out=(*told, *without, *foreign, *unknown, *local, *strange, *without_meaning),
    )


def _unread(values: Mapping[str, Any], file: str, lines: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Yield a line for each table that is not read; an empty one is only told if its name is a slip."""
    for key, value in values.items():
        if key in _READ:
            continue
        slip = None
        if key not in _REASONS:
            slip = misspelt(f"{file}:{lines[key,]}", f"[{key}]", _READ, values)
        if slip is not None:
            yield slip
        elif value:
            yield left_out(file, f"[{key}]", _REASONS.get(key, "it has no meaning here"))


def _slips(workspace: Mapping[str, Any], name: str, file: str, lines: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Yield a line for each key that is almost one that is read."""
    for key in workspace:
        slip = misspelt(f"{file}:{lines[name, key]}", f"{name}.{key}", ("channels", "platforms"), workspace)
        if slip is not None:
            yield slip


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    value = values.get(key)
    return value if isinstance(value, list) else []


def _systems(platforms: list[Any], file: str) -> tuple[tuple[str, ...], list[str]]:
    systems, told = [], []
    for platform in platforms:
        system = system_of_subdir(platform) if isinstance(platform, str) else None
        if system is None:
            told.append(left_out(file, str(platform), "Esker does not know this platform"))
        else:
            systems.append(system)
    return tuple(sorted(set(systems))), told


def _specs(values: Mapping[str, Any], file: str) -> tuple[list[Spec], list[str]]:
    specs, told = [], []
    tables: list[tuple[dict[str, Any], tuple[str, ...] | None]] = [(_table(values, "dependencies"), None)]
    for target, table in _table(values, "target").items():
        if target not in _TARGETS:
            told.append(left_out(file, f"[target.{target}]", "Esker does not know this platform"))
        elif isinstance(table, dict):
            tables.append((_table(table, "dependencies"), _TARGETS[target]))
            others = sorted(table.keys() - {"dependencies"})
            told.extend(left_out(file, f"[target.{target}.{key}]", "it is for one platform") for key in others)
    for dependencies, systems in tables:
        for name, value in dependencies.items():
            try:
                specs.append(Spec(_spec(name, value), systems))
            except NotTaken as reason:
                told.append(left_out(file, name, reason))
    return list(dict.fromkeys(specs)), told


def _spec(name: str, value: Any) -> str:
    if name == "pip":
        raise NotTaken("Esker installs the Python packages")
    table = value if isinstance(value, dict) else {"version": value}
    if table.keys() - {"version", "build", "channel"} or not all(isinstance(each, str) for each in table.values()):
        raise NotTaken("it is given by more than version, build and channel")
    version = table.get("version", "*").replace(" ", "")
    build, channel = table.get("build"), table.get("channel")
    parts = [f"{channel}::{name}" if channel else name, version if version != "*" or build else "", build or ""]
    if any(" " in part or "\t" in part for part in parts):
        raise NotTaken("it is not the spec of a conda package")
    return conda_spec(" ".join(filter(None, parts)))


def _requirements(table: Mapping[str, Any], file: str) -> tuple[list[str], list[str]]:
    requirements, told = [], []
    for name, value in table.items():
        try:
            requirements.append(_requirement(name, value))
        except NotTaken as reason:
            told.append(left_out(file, name, reason))
    return requirements, told


def _requirement(name: str, value: Any) -> str:
    table = value if isinstance(value, dict) else {"version": value}
    if "path" in table:
        raise NotTaken("a manifest names packages of an index, and no directories")
    extras = table.get("extras", [])
    texts = (table.get("version", "*"), *extras) if isinstance(extras, list) else (None,)
    if table.keys() - {"version", "extras"} or not all(isinstance(each, str) for each in texts):
        raise NotTaken("it is given by more than version and extras")
    version = texts[0] if texts[0] != "*" else ""
    return wheel(f"{name}{'[' + ','.join(extras) + ']' if extras else ''}{version}")


def _machine(table: Mapping[str, Any], file: str) -> tuple[dict[str, str], list[str]]:
    machine, told = {}, []
    for key, value in table.items():
        try:
            machine[key] = _property(key, value)
        except NotTaken as reason:
            told.append(left_out(file, key, reason))
    return {key: machine[key] for key in _MACHINE if key in machine}, told


def _property(key: str, value: Any) -> str:
    version = value.get("version") if isinstance(value, dict) and value.get("family", "glibc") == "glibc" else value
    if key not in _MACHINE or not isinstance(version, str) or not version.isprintable():
        raise NotTaken("Esker does not know this property of a machine")
    try:
        return notations.word(version) if key == "archspec" else notations.version_number(version)
    except Refusal as refusal:
        raise NotTaken("it is not a version") from refusal
