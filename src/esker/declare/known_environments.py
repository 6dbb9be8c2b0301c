"""The environments that this user has used: a list of their paths, so that they can be found again.

The list is a file, `$XDG_DATA_HOME/esker/env-registry.json`, in the format of Flox's own. For each path it holds what
env.json said when the environment was first used, and the time of that file. The current name is read from the
environment itself. An entry is skipped if its environment no longer exists.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import HostError, InvalidFile, NotFound
from esker.host import files, state_file

if TYPE_CHECKING:
    from esker.settings import Settings

__all__ = ["KnownEnvironment", "known_environments", "one_off_directory", "remember"]


class KnownEnvironment(NamedTuple):
    """An environment that still exists."""

    dot_flox: str
    """Absolute, with links resolved."""
    name: str

    @property
    def project(self) -> str:
        """The project directory."""
        return os.path.dirname(self.dot_flox)

    def record(self) -> dict[str, Any]:
        """Return the environment's entry in `_FLOX_ACTIVE_ENVIRONMENTS` and in `envs --json`."""
        return {"type": "dot-flox", "path": self.dot_flox, "pointer": {"name": self.name, "version": 1}}


def known_environments(settings: Settings) -> list[KnownEnvironment]:
    """Return the environments on the list that still exist, sorted by path."""
    from esker.declare.load import environment_name

    environments = []
    for path in sorted(_entries(_path(settings))):
        with suppress(NotFound, InvalidFile, HostError):
            environments.append(KnownEnvironment(path, environment_name(os.path.dirname(path))))
    return environments


def remember(project: str, settings: Settings) -> None:
    """Put `project` (absolute, links resolved) on the list if it is new, and remove entries that no longer exist.

    What `esker exec` has made is on no list. If the list cannot be written, or is in another user's home, nothing
    happens: an activation must not fail for it.
    """
    path, dot_flox = _path(settings), f"{project}/.flox"
    if dot_flox in _entries(path) or os.path.dirname(project) == os.path.realpath(one_off_directory(settings)):
        return
    from esker.declare.load import environment_name

    with suppress(HostError, OSError, NotFound, InvalidFile):
        if not files.belongs_to_us(os.path.dirname(path)):
            return  # under sudo this can be another user's home, and they could not write to a list that root made
        pointer = {"name": environment_name(project), "version": 1}
        since = int(os.stat(f"{dot_flox}/env.json").st_mtime)
        files.make_directory(os.path.dirname(path))
        with files.locked(f"{path}.lock"):
            entries = {place: entry for place, entry in _entries(path).items() if os.path.isdir(place)}
            entries[dot_flox] = {"path": dot_flox, "envs": [{"created_at": since, "pointer": pointer}]}
            text = json.dumps({"version": 1, "entries": list(entries.values())}, indent=2)
            files.write(path, text.encode() + b"\n")


def one_off_directory(settings: Settings) -> str:
    """Return the directory of the environments that `esker exec` makes."""
    return f"{settings.data_home}/esker/exec"


def _path(settings: Settings) -> str:
    return f"{settings.data_home}/esker/env-registry.json"


def _entries(path: str) -> dict[str, Any]:
    """Return the entries of the list, keyed by path; a list that cannot be read counts as empty."""
    record = state_file.read(path, as_directory=True) or {}
    try:
        return {str(entry["path"]): entry for entry in record["entries"]}
    except (KeyError, TypeError):
        return {}
