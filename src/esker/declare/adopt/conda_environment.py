"""`environment.yml`: conda's list of channels and packages, with a list of pip's in it.

`name` and `prefix` are of one machine, and are not told. Oddities: a package is `NAME=VERSION=BUILD`; `conda env
export` writes builds, which belong to one system; `defaults` and `nodefaults` are words of conda, and no channels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from esker.declare import notations
from esker.declare.adopt.found import Found, NotTaken, Spec, Unreadable, conda_spec, left_out, misspelt
from esker.declare.adopt.requirements_file import requirements_of
from esker.formats import simple_yaml
from esker.formats.conda.specs import package_of_spec
from esker.formats.tables.reader import Refusal
from esker.formats.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.declare.adopt.found import Read

__all__ = ["conda_environment", "taken_channels"]

_BUILD = re.compile(r"([^=<>!~\s\[\]]+=[^=\s\[\]]+)=[^=\s\[\]]+")
_OPERATOR = re.compile(r"\s*([<>=!~,|]+)\s*")
_CHANNEL_OF_SPEC = re.compile(r"([\w.-]+)::")
_REASONS = {"variables": "write what is no secret into [vars]"}
_UNTOLD = {"name", "prefix", "channels", "dependencies"}


def conda_environment(text: str, file: str, read: Read) -> Found:
    """Return what an environment file declares; raises Unreadable if it is not one."""
    try:
        values = simple_yaml.parse(text)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if not isinstance(values, dict):
        raise Unreadable("it is not an environment file of conda")
    unknown = [key for key in values if key not in _UNTOLD]
    told = [
        misspelt(file, key, _UNTOLD, values) or left_out(file, key, _REASONS.get(key, "Esker does not know this key"))
        for key in unknown
    ]
    channels, without = taken_channels(_listed(values.get("channels")), file)
    packages: list[str] = []
    pip: list[str] = []
    for entry in _listed(values.get("dependencies")):
        if isinstance(entry, str):
            packages.append(entry)
        elif isinstance(entry, dict) and list(entry) == ["pip"] and _are_texts(entry["pip"]):
            pip.extend(entry["pip"] or ())
        else:
            raise Unreadable("its `dependencies` has an entry that is neither a package nor the list of pip")
    specs, more = _specs(packages, file)
    wheels = requirements_of(pip, file, read)
    named = [match[1] for spec in specs if (match := _CHANNEL_OF_SPEC.match(spec))]
    channels = tuple(dict.fromkeys((*(channels or ("conda-forge",) * bool(named)), *named)))
    return wheels._replace(
        specs=tuple(map(Spec, dict.fromkeys(specs))),
        channels=channels,
        left_out=(*told, *without, *more, *(_without_number(line, file) for line in wheels.left_out)),
    )


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable("its `channels` or `dependencies` is not a list")
    return value


def _are_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _without_number(line: str, file: str) -> str:
    """The lines of pip's list are counted from its begin, which says nothing about the file."""
    return re.sub(rf"^{re.escape(file)}:\d+:", f"{file}:", line)


def taken_channels(channels: Iterable[Any], file: str) -> tuple[tuple[str, ...], list[str]]:
    """Return those of the channels that a manifest can name, and a line for each other one."""
    taken, told = [], []
    for channel in channels:
        if not isinstance(channel, str):
            told.append(f"{file}: a channel is left out: it is neither a name nor an address")
        elif channel == "defaults":
            taken.append("conda-forge")
            reason = "it means what an installation of conda is set to; `conda-forge` stands in its place"
            told.append(left_out(file, channel, reason))
        elif channel != "nodefaults":
            try:
                taken.append(notations.channel(channel))
            except Refusal as refusal:
                told.append(redact(f"{file}: a channel is left out: {refusal.message}"))
    return tuple(dict.fromkeys(taken)), told


def _specs(packages: Iterable[str], file: str) -> tuple[list[str], list[str]]:
    specs, told, builds = [], [], 0
    for package in packages:
        text = package if "[" in package else _OPERATOR.sub(r"\1", package.strip())
        build = _BUILD.fullmatch(text)
        builds += build is not None
        try:
            spec = conda_spec(build[1] if build else text)
        except NotTaken as reason:
            told.append(left_out(file, package, reason))
            continue
        if package_of_spec(spec) == "pip":
            told.append(left_out(file, package, "Esker installs the Python packages"))
        elif spec.startswith("_"):
            told.append(left_out(file, package, "packages of such names belong to one system"))
        else:
            specs.append(spec)
    if builds:
        told.append(f"{file}: builds are left out ({builds}): they are for one system, and the versions stay")
    return specs, told
