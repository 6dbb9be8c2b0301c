"""Who plays the environment of the Flox integration: Flox's own command, or Esker."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Literal

from esker.errors import NotFound, UsageError
from esker.host import variables
from esker.runtimes.registry import RUNTIMES, find_project

__all__ = ["EngineName", "engine_name", "runtime_name"]

EngineName = Literal["auto", "flox", "native"]


def engine_name(asked: str) -> str:
    """Return the runtime that an engine means; `auto` is `ESKER_ENGINE`, else Flox where it is on PATH, else native."""
    environ = variables.current()
    source = "engine"
    if asked == "auto":
        asked, source = environ.get("ESKER_ENGINE", "auto"), "ESKER_ENGINE"
    # A `.flox` itself says whether a tool such as Nix gives its toolchain.
    engines = ("auto", *sorted(name for name, kind in RUNTIMES.items() if kind.tool is None))
    if asked not in engines:
        raise UsageError(f"`{source}` cannot be `{asked}`", hint=f"it is one of {', '.join(engines)}")
    if asked != "auto":
        return asked
    from esker.activate.flox.command import find_flox

    return "flox" if find_flox(environ.get("PATH")) else "native"


def runtime_name(asked: str, project: str) -> str:
    """Return the runtime that an engine means for a project; without a `.flox`, `auto` is that of a flake or the like.

    A Python project declares an environment of its own only by a `.flox`: it may be meant for another one above it.
    """
    if asked == "auto" and not os.path.isdir(f"{project}/.flox"):
        with suppress(NotFound):
            declared = find_project(project, explicit=True)[1]
            if not RUNTIMES[declared].is_last:
                return declared
    return engine_name(asked)
