"""What `nix path-info --json` says of store paths: their hashes, their sizes, and the paths that they need.

    Nix 2.8 and before 2.19:  [{"path": PATH, "narHash": HASH, "narSize": BYTES, "references": [PATH, …], …}, …]
    Nix 2.19 and later:       {PATH: {"narHash": HASH, "narSize": BYTES, "references": [PATH, …], …}, …}
    format 2 of the newest:   {"version": 2, "info": {NAME: {…, "references": [NAME, …]}, …}, "storeDir": …, …}

HASH is the SHA-256 of the path's archive (NAR): `sha256-` and base 64, or `sha256:` and hexadecimal digits or Nix's
base 32, or an object with `algorithm`, `format` and `hash`. In format 2 a NAME stands for the path. A path that is
not valid has `null`, or `"valid": false`. Source: the output of Nix 2.8, and the JSON schema "store object info" in the
manual.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import Malformed
from esker.formats.nix import nixbase32, store_path
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PathInfo", "parse"]

_SHA256 = 32
"""Bytes."""
_HEX = re.compile(r"[0-9a-f]{64}")


class PathInfo(NamedTuple):
    """What Nix knows of a store path."""

    path: str
    """Absolute; it lies directly in the store's directory."""
    nar_hash: bytes
    """The SHA-256 of its archive."""
    nar_size: int
    references: tuple[str, ...]
    """The paths that it needs, itself perhaps among them; sorted."""


def parse(text: str | bytes, directory: str = store_path.DIRECTORY) -> tuple[PathInfo, ...]:
    """Return what a text says of paths in the store `directory`, sorted by path; raises Malformed.

    Every reference has to be among the paths, as for `--recursive`.
    """
    try:
        every = [_info(path, entry, directory) for path, entry in _entries(json_value(text))]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Malformed(f"`nix path-info` has printed what is not understood: {error}") from error
    found = {info.path: info for info in every}
    for info in every:
        missing = next((each for each in info.references if each not in found), None)
        if missing is not None:
            raise Malformed(f"`nix path-info` names `{missing}`, which `{info.path}` needs, and says nothing of it")
    return tuple(found[path] for path in sorted(found))


def _entries(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        pairs = [(each["path"], each) for each in value]
    else:
        table = value["info"] if isinstance(value.get("info"), dict) and "version" in value else value
        pairs = list(table.items())
    for path, entry in pairs:
        if entry is None or entry.get("valid") is False:
            raise ValueError(f"`{path}` is not valid")
        yield path, entry


def _info(path: str, entry: dict[str, Any], directory: str) -> PathInfo:
    size = entry["narSize"]
    if type(size) is not int or size < 0:
        raise ValueError(f"`{size}` is no size")
    references = sorted({_path(each, directory) for each in entry["references"]})
    return PathInfo(_path(path, directory), _hash(entry["narHash"]), size, tuple(references))


def _path(text: str, directory: str) -> str:
    """Return a store path as a path; `text` may be its name alone."""
    name = text if "/" not in text else store_path.parse(text, directory).file_name
    return f"{directory}/{store_path.parse_name(name).file_name}"


def _hash(value: Any) -> bytes:
    if isinstance(value, dict):
        value = f"{value['algorithm']}{'-' if value.get('format', 'base64') == 'base64' else ':'}{value['hash']}"
    try:
        if value.startswith("sha256-"):
            digest = base64.b64decode(value.removeprefix("sha256-"), validate=True)
        else:
            digits = value.removeprefix("sha256:")
            digest = bytes.fromhex(digits) if _HEX.fullmatch(digits) else nixbase32.decode(digits)
    except binascii.Error as error:
        raise ValueError(f"`{value}` is no SHA-256") from error
    if len(digest) != _SHA256:
        raise ValueError(f"`{value}` is no SHA-256")
    return digest
