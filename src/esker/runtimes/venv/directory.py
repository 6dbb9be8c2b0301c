"""A virtual environment on disk, as PEP 405 describes it, and what its activation changes.

A directory is one if it has a file `pyvenv.cfg`, which has a line `NAME = VALUE` for each setting. `version_info` (as uv
and virtualenv write it) or `version` (as the module `venv` does) says for which Python it was made.

A warm activation imports this module: it imports nothing heavy.
"""

from __future__ import annotations

import os

from esker.activate.difference import Activation

__all__ = ["activation", "exists", "is_made_by_uv", "prompt", "python", "release", "site_packages", "version"]

_NUMBERS = 3
_LARGEST = 1 << 16
"""Bytes of a `pyvenv.cfg`; those that tools write have a few hundred."""


def exists(path: str) -> bool:
    """Return whether the directory `path` is a virtual environment."""
    return os.path.isfile(f"{path}/pyvenv.cfg")


def python(path: str) -> str:
    """Return the path of the interpreter in a virtual environment."""
    return f"{path}/bin/python"


def version(path: str) -> str | None:
    """Return the version of its Python, such as `3.11.7`; None if `pyvenv.cfg` does not say one."""
    settings = _settings(path)
    parts = (settings.get("version_info") or settings.get("version") or "").split(".")[:_NUMBERS]
    numbers = [part for part in parts if part.isascii() and part.isdecimal()]
    return ".".join(numbers) if len(numbers) == len(parts) > 1 else None


def release(path: str) -> tuple[int, int] | None:
    """Return the major and minor version of its Python; None if `pyvenv.cfg` does not say one."""
    number = version(path)
    if number is None:
        return None
    major, minor, *_ = number.split(".")
    return int(major), int(minor)


def is_made_by_uv(path: str) -> bool:
    """Return whether uv has made it; uv says so in `pyvenv.cfg`."""
    return "uv" in _settings(path)


def site_packages(path: str) -> str | None:
    """Return the directory of its packages; None if the version of its Python is not known."""
    number = release(path)
    return number and f"{path}/lib/python{number[0]}.{number[1]}/site-packages"


def prompt(path: str) -> str:
    """Return the name that activation scripts show before a shell's prompt."""
    return _settings(path).get("prompt", "").strip("'\"") or os.path.basename(path)


def activation(path: str) -> Activation:
    """Return the changes of variables that the environment's own activation scripts make."""
    return Activation(
        set={"VIRTUAL_ENV": path, "VIRTUAL_ENV_PROMPT": prompt(path)},
        unset=["PYTHONHOME"],
        prepend={"PATH": [f"{path}/bin"]},
    )


def _settings(path: str) -> dict[str, str]:
    try:
        with open(f"{path}/pyvenv.cfg", encoding="utf-8", errors="replace") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
