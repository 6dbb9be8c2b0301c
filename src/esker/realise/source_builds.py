"""Wheels that are built here, from repositories, directories and source distributions.

The wheel of a source is one store path: made once from the same code, build requirements and interpreter, and never
taken from or given to another user, because nobody has vouched for its hash. The build runs the project's own code, so
a caller has got the sources from `trusted_sources`, or has asked `declare/trust` before.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import trust
from esker.errors import CommandFailed, RealisationFailed
from esker.formats import pylock
from esker.formats.urls import redact_repository
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import run_uv
from esker.lock.build_backend import build_system, workshop
from esker.lock.pyproject import read_pyproject
from esker.lock.source_trees import fetch, identity, source_places, source_tree
from esker.lock.uv_settings import UvSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreter
    from esker.lock.source_trees import SourceTree
    from esker.settings import Settings
    from esker.store.store import Store

__all__ = ["DirectWheel", "built_wheel", "direct_wheel", "origin", "source_fingerprint", "trusted_sources"]

RECIPE = 1
"""Increase it whenever the same inputs would give another wheel."""


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
    """Return the content of direct_url.json (PEP 610) for a repository; None for others."""
    if source.kind != "git":
        return None
    found = {"url": redact_repository(source.address), "vcs_info": {"vcs": "git", "commit_id": source.commit}}
    found |= {"subdirectory": source.subdirectory} if source.subdirectory else {}
    return json.dumps(found, sort_keys=True).encode()


def trusted_sources(
    declaration: Declaration, lock: Pylock, settings: Settings
) -> tuple[UvSettings, dict[str, SourceTree]]:
    """Return what `[tool.uv]` says, and the packages of `lock` that come from no index, by their `identity`.

    Raises NotTrusted for another user's project if one of these packages is built, which runs its code.
    """
    project = read_pyproject(declaration)
    uv = project.uv if project else UvSettings()
    records = pylock.source_records(lock)
    found = {}
    for package in lock.packages:
        source = source_tree(package, records, uv.sources, uv.lock_directory)
        if source is not None:
            found[identity(package)] = source
    if any(not source.is_wheel for source in found.values()):
        trust.check_contents(declaration.project, settings, source_places(found.values()))
    return uv, found


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
            place = fetch(source, f"{above}/source", tools)
            system = build_system(place)
            system.check_builder(source.name, source.build_requirements)
            output = f"{above}/wheel"
            os.mkdir(output)
            if source.build_requirements or not system.is_built_by_uv:
                with workshop(source.build_requirements, interpreter, tools, configuration) as shop:
                    name = shop.call("build_wheel", output, None, None, tree=place, name=source.name, system=system)
            else:
                name = _built_by_uv(source, place, output, interpreter, tools)
            _check_wheel(source, name, output)
            shutil.move(f"{output}/{name}", f"{directory}/{name}")

    path = store.build(f"{source.name}-wheel", source_fingerprint(source, interpreter, tools), fill)
    with files.refused("read", path):
        return f"{path}/{os.listdir(path)[0]}"


def _built_by_uv(
    source: SourceTree, place: str, output: str, interpreter: Interpreter, tools: Mapping[str, str]
) -> str | None:
    """Have uv build the source in `place` by the backend that is part of it, and return the name of the wheel."""
    build = ["build", "--wheel", "--offline", "--no-config", "--python", interpreter.executable]
    try:
        run_uv([*build, "--no-create-gitignore", "--out-dir", output, place], tools, cwd=output)
    except CommandFailed as failure:
        raise RealisationFailed(
            f"`{source.name}` could not be built by uv: {failure.output.partition('error: ')[2] or failure.output}",
            hint="mend its pyproject.toml",
        ) from failure
    return next(iter(os.listdir(output)), None)


def _check_wheel(source: SourceTree, name: object, output: str) -> None:
    """Raise RealisationFailed unless a backend has made exactly the wheel that it names."""
    if not isinstance(name, str) or "/" in name or not name.endswith(".whl") or not os.path.isfile(f"{output}/{name}"):
        raise RealisationFailed(f"the build backend of `{source.name}` made no wheel, but says `{name}`")
