"""Esker's extras: how one that is missing is installed beside this Esker, whichever interpreter runs it."""

from __future__ import annotations

import sys

__all__ = ["how_to_install"]


def how_to_install(extra: str) -> str:
    """Return the advice for somebody who lacks an extra: a command that names the interpreter that runs Esker.

    Esker is there already, so that only what the extra adds is downloaded. A tool of uv's has no pip of its own.
    """
    import shlex
    from importlib.util import find_spec

    interpreter = shlex.quote(sys.executable or "python3")
    command = f"{interpreter} -m pip install" if find_spec("pip") else f"uv pip install --python {interpreter}"
    return f"install Esker with it: {command} 'esker[{extra}]'"
