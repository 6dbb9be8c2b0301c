"""`package.json`: the versions of Node.js and its package managers that npm's `engines` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.declare.adopt.found import Found, NotTaken, Spec, Unreadable, conda_spec, left_out
from esker.formats.npm_ranges import conda_version
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from esker.declare.adopt.found import Read

__all__ = ["package_json"]

_PACKAGES = {"node": "nodejs", "pnpm": "pnpm", "yarn": "yarn"}


def package_json(text: str, file: str, _: Read) -> Found:
    """Return what `engines` names, as conda packages; raises Unreadable if the file is not valid."""
    try:
        values = json_value(text)
    except ValueError as error:
        raise Unreadable("it is not valid JSON") from error
    engines = values.get("engines") if isinstance(values, dict) else None
    specs, told = [], []
    for name, version in engines.items() if isinstance(engines, dict) else ():
        try:
            specs.append(Spec(_engine(name, version)))
        except NotTaken as reason:
            told.append(left_out(file, f"engines.{name}", reason))
    return Found(file, specs=tuple(specs), left_out=tuple(told))


def _engine(name: str, version: object) -> str:
    if name == "npm":
        raise NotTaken("npm comes with nodejs")
    if name not in _PACKAGES:
        raise NotTaken("Esker does not know which conda package it is")
    translated = conda_version(version) if isinstance(version, str) else None
    if translated is None:
        raise NotTaken(f"conda has no such range: esker install 'conda/{_PACKAGES[name]} VERSION'")
    return conda_spec(_PACKAGES[name] if translated == "*" else f"{_PACKAGES[name]} {translated}")
