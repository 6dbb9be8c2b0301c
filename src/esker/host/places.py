"""The directories where programs keep a user's files: the base directories of the XDG specification.

A variable that is not an absolute path counts as unset, as the specification requires; we treat HOME the same way.
https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["config", "data", "runtime", "state"]

_OF_OTHERS = 0o077


def config(variables: Mapping[str, str], home: str | None = None) -> str | None:
    """Return the directory for a user's configuration; None if no variable gives one. `home` replaces HOME."""
    return _place(variables, "XDG_CONFIG_HOME", ".config", home)


def data(variables: Mapping[str, str], home: str | None = None) -> str | None:
    """Return the directory for data that programs keep; `home` and None mean the same as for `config`."""
    return _place(variables, "XDG_DATA_HOME", ".local/share", home)


def state(variables: Mapping[str, str], home: str | None = None) -> str | None:
    """Return the directory for state that programs keep between runs; `home` and None mean the same as for `config`."""
    return _place(variables, "XDG_STATE_HOME", ".local/state", home)


def _place(variables: Mapping[str, str], variable: str, default: str, home: str | None) -> str | None:
    path = variables.get(variable, "")
    if os.path.isabs(path):
        return path
    if home is None:
        home = variables.get("HOME", "")
        if not os.path.isabs(home):
            return None
    return f"{home}/{default}"


def runtime(xdg_runtime_dir: str | None, uid: int) -> str | None:
    """Return the directory for sockets, if XDG_RUNTIME_DIR names one that belongs to `uid` and is closed to others."""
    if not xdg_runtime_dir or not os.path.isabs(xdg_runtime_dir):
        return None
    try:
        status = os.lstat(xdg_runtime_dir)
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & _OF_OTHERS
    return xdg_runtime_dir.rstrip("/") if private else None
