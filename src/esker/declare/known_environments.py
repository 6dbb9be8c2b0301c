"""The environments that this user has used: a list of their places, so that they can be found again.

One file, `$XDG_DATA_HOME/esker/env-registry.json`, of the shape of Flox's: for each place what its env.json said when
it was met first, and since when it had said so. What an environment is called today is asked at its place; an entry
whose place has no environment any more is left out.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare.load import environment_name
from esker.errors import HostError, InvalidFile, NotFound
from esker.host import files, state_file

if TYPE_CHECKING:
    from esker.settings import Settings

__all__ = ["KnownEnvironment", "known_environments", "remember"]


class KnownEnvironment(NamedTuple):
    """An environment that is there."""

    dot_flox: str
    """Absolute, with links resolved."""
    name: str

    @property
    def project(self) -> str:
        """The project directory."""
        return os.path.dirname(self.dot_flox)

    def record(self) -> dict[str, Any]:
        """Return what `_FLOX_ACTIVE_ENVIRONMENTS` and `envs --json` hold of an environment."""
        return {"type": "dot-flox", "path": self.dot_flox, "pointer": {"name": self.name, "version": 1}}


def known_environments(settings: Settings) -> list[KnownEnvironment]:
    """Return the environments that have been met and are still there, by their places."""
    found = []
    for path in sorted(_entries(_path(settings))):
        with suppress(NotFound, InvalidFile, HostError):
            found.append(KnownEnvironment(path, environment_name(os.path.dirname(path))))
    return found


def remember(project: str, settings: Settings) -> None:
    """Put `project` (absolute, links resolved) on the list unless it stands there, and take the vanished ones off.

    Where the list cannot be written, or lies in somebody else's home, nothing is remembered: it is for finding things
    again, no more.
    """
    path, place = _path(settings), f"{project}/.flox"
    if place in _entries(path):
        return
    with suppress(HostError, OSError, NotFound, InvalidFile):
        if not files.is_ours(os.path.dirname(path)):
            return  # with sudo, it may be another user's: what root made there, they could not use any more
        pointer = {"name": environment_name(project), "version": 1}
        since = int(os.stat(f"{place}/env.json").st_mtime)
        files.make_directory(os.path.dirname(path))
        with files.locked(f"{path}.lock"):
            kept = {known: entry for known, entry in _entries(path).items() if os.path.isdir(known)}
            kept[place] = {"path": place, "envs": [{"created_at": since, "pointer": pointer}]}
            text = json.dumps({"version": 1, "entries": list(kept.values())}, indent=2)
            files.write(path, text.encode() + b"\n")


def _path(settings: Settings) -> str:
    return f"{settings.data_home}/esker/env-registry.json"


def _entries(path: str) -> dict[str, Any]:
    """Return the entries of the list by their places; a list that cannot be read is an empty one."""
    record = state_file.read(path, as_directory=True) or {}
    try:
        return {str(entry["path"]): entry for entry in record["entries"]}
    except (KeyError, TypeError):
        return {}
