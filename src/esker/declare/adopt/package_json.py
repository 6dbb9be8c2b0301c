"""`package.json`: the versions of Node.js and its package managers that npm's `engines` names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from esker.declare.adopt.found import Found, NotTaken, Spec, Unreadable, conda_spec, left_out, misspelt
from esker.formats.npm_ranges import conda_version
from esker.formats.tables.shapes import near
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Container

    from esker.declare.adopt.found import Read

__all__ = ["package_json"]

_PACKAGES = {"node": "nodejs", "pnpm": "pnpm", "yarn": "yarn"}
_NO_SLIPS = {"engines", "engineStrict"}


def package_json(text: str, file: str, _: Read) -> Found:
    """Return what `engines` names, as conda packages; raises Unreadable if the file is not valid."""
    try:
        values = json_value(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"it is not valid JSON, line {error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise Unreadable(f"it is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        return Found(file)
    engines = values.get("engines")
    specs, told = [], [line for key in values if (line := _slip(text, file, key, values)) is not None]
    for name, version in engines.items() if isinstance(engines, dict) else ():
        try:
            specs.append(Spec(_engine(name, version)))
        except NotTaken as reason:
            shown = f"engines.{name} = {json.dumps(version, ensure_ascii=False)}"
            told.append(left_out(_place(text, file, "engines", name), shown, reason))
    return Found(file, specs=tuple(specs), left_out=tuple(told))


def _slip(text: str, file: str, key: str, values: Container[str]) -> str | None:
    """Return the line about a key that is almost `engines`, where that is missing."""
    return misspelt(_place(text, file, key), key, ["engines"], values) if key not in _NO_SLIPS else None


def _place(text: str, file: str, *path: str) -> str:
    """Return the place of a key: the first line on which its name stands, after those of the keys above it."""
    at = 0
    for key in path:
        match = re.compile(rf"{re.escape(json.dumps(key, ensure_ascii=False))}\s*:").search(text, at)
        if match is None:  # it is written with escapes
            return file
        at = match.end()
    return f"{file}:{text.count(chr(10), 0, at) + 1}"


def _engine(name: str, version: object) -> str:
    if name == "npm":
        raise NotTaken("npm comes with nodejs")
    if name not in _PACKAGES:
        raise NotTaken(near(name, _PACKAGES, closeness=0.75) or "Esker does not know which conda package it is")
    translated = conda_version(version) if isinstance(version, str) else None
    if translated is None:
        raise NotTaken(f"conda has no such range: esker install 'conda/{_PACKAGES[name]} VERSION'")
    return conda_spec(_PACKAGES[name] if translated == "*" else f"{_PACKAGES[name]} {translated}")
