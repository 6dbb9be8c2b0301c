"""What `image build` said of a project's image, kept so that the next call need not work out what has not changed.

There is one file for each form of the call, `.flox/cache/esker/image-HASH.json`. It has what the image came to and the
paths of all files that decide about it, with one hash of their states. Of the caller's variables it has a hash alone,
because some may be secret. Layers are not looked at: the image's lock says what they are.

Esker itself stands among these files by one that each installation writes anew. Who edits Esker's own code has to
remove the record.

A call that finds its record reads and writes nothing else. So this module imports nothing heavy, not even `json`.
"""

from __future__ import annotations

import os
import time

from esker.activate.plan import state_of
from esker.host import state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from esker.settings import Settings

__all__ = ["keep", "kept", "now"]

_VERSION = 3
_PREFIXES = ("ESKER_", "UV_", "XDG_", "GIT_")
_NAMES = {"HOME", "PATH", "SOURCE_DATE_EPOCH"}
"""The caller's variables that decide."""
_CLOCK = 50_000_000
"""Nanoseconds within which two changes of a file may get the same time."""


def now() -> int:
    """Return the moment at which an image is begun, for `keep`."""
    return time.time_ns()


def kept(project: str, asked: Sequence[str], settings: Settings) -> dict[str, Any] | None:
    """Return what was kept of the image of a project (absolute) for this call; None if anything may have changed."""
    record = state_file.read(_path(project, asked), version=_VERSION)
    if record is None or record.get("settings") != _settings(settings) or record.get("asked") != [*asked]:
        return None
    paths, result = record.get("paths"), record.get("result")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        return None
    if not isinstance(result, dict) or record.get("state") != state_of([*_code(), *paths]):
        return None
    return result


def keep(
    project: str,
    asked: Sequence[str],
    settings: Settings,
    *,
    since: int,
    inputs: Iterable[str],
    outputs: Iterable[str] = (),
    result: Mapping[str, Any],
) -> None:
    """Keep what the image came to that was begun at `since`, a moment of `now`.

    `inputs` are the files that decide about it. Nothing is kept if one has changed since a moment before: what was
    read may have been its old or its new content. `outputs` are what the call itself has written, such as a layout:
    they have just changed, and the next call has to find them as they are now.
    """
    inputs = [*_code(), *sorted({*inputs})]
    if any(_changed(path) > since - _CLOCK for path in inputs):
        return
    from esker.declare import project_directory
    from esker.formats import json_text
    from esker.host import files

    paths = [*inputs[len(_code()) :], *sorted({*outputs})]
    record = {
        "version": _VERSION,
        "asked": [*asked],
        "settings": _settings(settings),
        "paths": paths,
        "state": state_of([*_code(), *paths]),
        "result": dict(result),
    }
    path = _path(project, asked)
    with project_directory.writable(f"{project}/.flox", "cache", "esker") as directory:
        files.write(path, json_text.render(record).encode("ascii"), directory=directory)


def _path(project: str, asked: Sequence[str]) -> str:
    return f"{project}/.flox/cache/esker/image-{_hash(asked)[:12]}.json"


def _hash(texts: Iterable[str]) -> str:
    try:
        from _blake2 import blake2b  # importing `hashlib` would load OpenSSL
    except ImportError:
        from hashlib import blake2b

    return blake2b("\0".join(texts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _code() -> tuple[str, ...]:
    """Return a file that every installation of Esker writes anew."""
    return (f"{os.path.dirname(os.path.dirname(__file__))}/__init__.py",)


def _settings(settings: Settings) -> str:
    """Return a hash of the caller's variables that decide, and of what of the machine does."""
    caller = settings.caller
    deciding = sorted(name for name in caller if name in _NAMES or name.startswith(_PREFIXES))
    chosen = [f"{name}={value}" for name, value in sorted(settings.choices.items())]
    return _hash([*(f"{name}={caller[name]}" for name in deciding), *chosen, settings.no_downloads or ""])


def _changed(path: str) -> int:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return 0
    return max(status.st_mtime_ns, status.st_ctime_ns)
