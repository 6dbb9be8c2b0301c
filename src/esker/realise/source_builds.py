"""Wheels that are built here, from repositories, directories and source distributions.

The wheel of a source is one store path: made once from the same code, build requirements and interpreter, and never
taken from or given to another user, because nobody has vouched for its hash. The build runs the project's own code, so
a caller has asked `declare/trust` before.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.formats import pylock
from esker.formats.urls import redact_repository
from esker.host import files
from esker.host.scratch import scratch
from esker.lock.build_backend import build_system, workshop
from esker.lock.source_trees import fetch, identity, source_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.pylock import Pylock

    from esker.host.interpreters import Interpreter
    from esker.lock.source_trees import SourceTree
    from esker.lock.uv_settings import UvSettings
    from esker.store.store import Store

__all__ = ["DirectWheel", "built_wheel", "direct_wheel", "locked_sources", "origin", "source_fingerprint"]

RECIPE = 1
"""Increase it whenever the same inputs would give another wheel."""
_EGG_INFO = ".egg-info"


class DirectWheel(NamedTuple):
    """A wheel that does not come from an index."""

    address: str
    """A URL; it may hold credentials."""
    hashes: Mapping[str, str]
    size: int | None = None


def direct_wheel(
    source: SourceTree,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    store: Store,
    *,
    configuration: str = "",
) -> DirectWheel:
    """Return the wheel of a source: the locked file itself, or what `built_wheel` gives."""
    if source.is_wheel:
        is_url = "://" in source.address
        return DirectWheel(source.address if is_url else Path(source.address).as_uri(), source.hashes)
    wheel = built_wheel(source, interpreter, tools, store, configuration=configuration)
    with open(wheel, "rb") as file:
        return DirectWheel(Path(wheel).as_uri(), {"sha256": sha256(file.read()).hexdigest()})


def origin(source: SourceTree) -> bytes | None:
    """Return the content of direct_url.json (PEP 610) for a repository or an editable directory; None for others."""
    if source.kind == "git":
        found = {"url": redact_repository(source.address), "vcs_info": {"vcs": "git", "commit_id": source.commit}}
        found |= {"subdirectory": source.subdirectory} if source.subdirectory else {}
    elif source.editable:
        found = {"url": Path(source.address).as_uri(), "dir_info": {"editable": True}}
    else:
        return None
    return json.dumps(found, sort_keys=True).encode()


def locked_sources(lock: Pylock, settings: UvSettings) -> dict[str, SourceTree]:
    """Return the packages of `lock` that do not come from an index, by what `identity` gives for each."""
    records = pylock.source_records(lock)
    found = {}
    for package in lock.packages:
        source = source_tree(package, records, settings.sources, settings.lock_directory)
        if source is not None:
            found[identity(package)] = source
    return found


def source_fingerprint(source: SourceTree, interpreter: Interpreter, tools: Mapping[str, str]) -> str:
    """Return what decides which wheel is built, as a text; equal texts give equal wheels."""
    machine = [interpreter.executable, interpreter.version, interpreter.abi, interpreter.platform]
    key = [RECIPE, source.name, source.fingerprint(tools), source.build_requirements, machine]
    return "built-wheel:" + json.dumps(key, separators=(",", ":"))


def built_wheel(
    source: SourceTree,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    store: Store,
    *,
    configuration: str = "",
) -> str:
    """Return the path of the wheel that is built from `source`, in the store; it is built if it is missing.

    Its build requirements are the locked ones, installed with their hashes. `configuration` is the content of a
    uv.toml. Raises RealisationFailed, with the last lines that the backend wrote.
    """

    def fill(directory: str) -> None:
        with scratch("source") as above:
            place = source.address if source.editable else fetch(source, f"{above}/source", tools)
            with workshop(source.build_requirements, interpreter, tools, configuration) as shop:
                output = f"{shop.directory}/wheel"
                os.mkdir(output)
                before = _entries(place) if source.editable else {}
                hook = "build_editable" if source.editable else "build_wheel"
                name = shop.call(hook, output, None, None, tree=place, name=source.name, system=build_system(place))
                if source.editable:
                    _check_left(source, before)
                _check_wheel(source, name, output)
                shutil.move(f"{output}/{name}", f"{directory}/{name}")

    path = store.build(f"{source.name}-wheel", source_fingerprint(source, interpreter, tools), fill)
    with files.refused("read", path):
        return f"{path}/{os.listdir(path)[0]}"


def _check_wheel(source: SourceTree, name: object, output: str) -> None:
    """Raise RealisationFailed unless a backend has made exactly the wheel that it names."""
    if name is None:
        raise RealisationFailed(
            f"`{source.name}` cannot be editable: its build backend has no `build_editable`",
            hint="take `editable = true` out of its source",
        )
    if not isinstance(name, str) or "/" in name or not name.endswith(".whl") or not os.path.isfile(f"{output}/{name}"):
        raise RealisationFailed(f"the build backend of `{source.name}` made no wheel, but says `{name}`")


def _entries(directory: str) -> dict[str, tuple[int, int]]:
    """Return what lies in a directory, down to its third level, with the times and sizes of files."""
    found = {}
    pending = [directory]
    while pending:
        above = pending.pop()
        with os.scandir(above) as entries:
            for entry in entries:
                if entry.name in {".git", "__pycache__", "node_modules"} or entry.name.endswith(_EGG_INFO):
                    continue
                status = entry.stat(follow_symlinks=False)
                if not entry.is_dir(follow_symlinks=False):
                    found[entry.path] = (status.st_mtime_ns, status.st_size)
                elif not os.path.exists(f"{entry.path}/pyvenv.cfg"):
                    pending.append(entry.path)
    return found


def _check_left(source: SourceTree, before: Mapping[str, tuple[int, int]]) -> None:
    """Raise RealisationFailed if the build of an editable package has left more than metadata beside the code."""
    left = sorted(path for path, status in _entries(source.address).items() if before.get(path) != status)
    if left:
        name = os.path.relpath(left[0], source.address)
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise RealisationFailed(
            f"the build backend of `{source.name}` has left `{name}`{more} in `{source.address}`",
            hint="take `editable = true` out of its source: then it is built from a copy",
        )
