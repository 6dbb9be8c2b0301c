"""Who plays the environment of the Flox integration: Flox's own command, or Esker."""

from __future__ import annotations

from typing import Literal, get_args

from esker.errors import UsageError
from esker.host import variables

__all__ = ["EngineName", "engine_name"]

EngineName = Literal["auto", "flox", "native"]


def engine_name(asked: str) -> str:
    """Return the runtime that an engine means; `auto` is `ESKER_ENGINE`, else Flox where it is on PATH, else native."""
    environ = variables.current()
    source = "engine"
    if asked == "auto":
        asked, source = environ.get("ESKER_ENGINE", "auto"), "ESKER_ENGINE"
    engines = get_args(EngineName)
    if asked not in engines:
        raise UsageError(f"`{source}` cannot be `{asked}`", hint=f"it is one of {', '.join(engines)}")
    if asked != "auto":
        return asked
    from esker.activate.flox.command import find_flox

    return "flox" if find_flox(environ.get("PATH")) else "native"
