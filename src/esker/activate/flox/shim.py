"""The shim: a start script called `flox`, with which Esker behaves as Flox does."""

from __future__ import annotations

from esker.host import start_script

__all__ = ["SHIM_NAME", "is_own_shim", "write_shim"]

SHIM_NAME = "flox"


def is_own_shim(path: str) -> bool:
    """Return whether the file at `path`, through links, is a `flox` that Esker wrote."""
    return start_script.is_own(path, SHIM_NAME)


def write_shim(directory: str, *, interpreter: str, source: str) -> str:
    """Write `flox` into a directory, as `start_script.write` does, and return the path of the shim."""
    return start_script.write(directory, SHIM_NAME, entry="flox", interpreter=interpreter, source=source)
