"""Logs of services that tests write to without a supervisor."""

from __future__ import annotations

import os

from esker.services.supervised.logs import ROTATION, LogFile

__all__ = ["log_file"]


def log_file(path: str, *, rotation: int = ROTATION) -> LogFile:
    """Return the log at `path`; the descriptor of its directory stays open until the tests end."""
    directory, name = os.path.split(path)
    return LogFile(name, os.open(directory, os.O_RDONLY | os.O_DIRECTORY), rotation=rotation)
