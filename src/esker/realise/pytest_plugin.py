"""Esker's pytest plugin as a distribution of an environment's own: the package `esker_pytest`, copied as it is here."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from esker import __version__
from esker.errors import RealisationFailed
from esker.host import files
from esker.host.isolation import SOURCE
from esker.realise import records

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["add", "fingerprint", "is_wanted"]

_PACKAGE = "esker_pytest"
_INFO = f"{_PACKAGE}-{__version__}.dist-info"
_ENTRY_POINT = "esker.testing"
"""The name in Esker's own distribution too: `-p esker.testing` means the same inside an environment and outside."""
_METADATA = f"""\
Metadata-Version: 2.1
Name: esker-pytest
Version: {__version__}
Summary: The pytest plugin of the Esker that made this environment
Requires-Python: >=3.9
"""
_WHEEL = "Wheel-Version: 1.0\nGenerator: esker\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def is_wanted(names: Collection[str]) -> bool:
    """Return whether an environment of these locked distributions gets the plugin.

    If Esker itself is among them, it brings the plugin, which pytest would refuse to register twice.
    """
    return "pytest" in names and "esker" not in names


def fingerprint() -> str:
    """Return a hash of all that `add` writes."""
    return hashlib.sha256(repr(sorted(_contents().items())).encode("ascii")).hexdigest()


def add(libraries: str) -> None:
    """Write the plugin into the directory `libraries` (site-packages), in place of a package's files of these names.

    Raises RealisationFailed if a package brings one of its directories, which would hold the files of both.
    """
    for name in (_PACKAGE, _INFO):
        if os.path.lexists(f"{libraries}/{name}"):
            message = f"a locked package brings a `{name}` of its own, where Esker's pytest plugin would be"
            raise RealisationFailed(message, hint="take that package out, or pytest")
        os.mkdir(f"{libraries}/{name}")
    for path, content in _contents().items():
        with open(f"{libraries}/{path}", "xb") as file:
            file.write(content)
        os.chmod(f"{libraries}/{path}", 0o644)


def _contents() -> dict[str, bytes]:
    """Return every file that `add` writes, by its path in site-packages."""
    contents = {
        f"{_PACKAGE}/{name}": _source(name) for name in sorted(os.listdir(f"{SOURCE}/{_PACKAGE}")) if _is_source(name)
    }
    contents[f"{_INFO}/METADATA"] = _METADATA.encode()
    contents[f"{_INFO}/WHEEL"] = _WHEEL.encode()
    contents[f"{_INFO}/INSTALLER"] = b"esker\n"
    contents[f"{_INFO}/entry_points.txt"] = f"[pytest11]\n{_ENTRY_POINT} = {_PACKAGE}\n".encode()
    recorded = [f"{path},{records.entry(content)}\n" for path, content in contents.items()]
    contents[f"{_INFO}/RECORD"] = "".join([*recorded, f"{_INFO}/RECORD,,\n"]).encode()
    return contents


def _is_source(name: str) -> bool:
    return name.endswith(".py") or name == "py.typed"


def _source(name: str) -> bytes:
    path = f"{SOURCE}/{_PACKAGE}/{name}"
    with files.refused("read", path, RealisationFailed), open(path, "rb") as file:
        return file.read()
