"""Wheels in the store: each is one store path, unpacked and with byte code, and is made once for all environments.

Its tree has the layout of a prefix (`bin`, `lib/python3.11/site-packages`, `share`). Two builds with the same key are
equal byte for byte.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from packaging.pylock import PackageSdist

from esker.formats.nix import store_path
from esker.lock.source_trees import SourceTree
from esker.progress import reporting
from esker.realise import records, run_paths
from esker.realise.amount import measured
from esker.realise.artifacts import hashes_of
from esker.realise.byte_code import compile_modules
from esker.realise.installation import Uv, install
from esker.realise.source_builds import direct_wheel, origin, source_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.realise.artifacts import Artifact
    from esker.store.store import Store

__all__ = ["Wheel", "installed_wheels"]

RECIPE = 1
"""Increase it whenever the same inputs would give a different tree."""


class Wheel(NamedTuple):
    """The wheel of a package in the store."""

    name: str
    """The package's normalised name."""
    path: str
    """Its physical store path."""


def installed_wheels(  # noqa: PLR0913  # each is a value of its own, from another place
    store: Store,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    progress: Progress,
    *,
    build: Sequence[str] = (),
    largest: int | None = None,
    configuration: str = "",
    platform: str | None = None,
) -> tuple[Wheel, ...]:
    """Return the wheels of `artifacts` in their order, making those that are missing.

    `tools` are the environment variables for uv; the packages named in `build` may be built from source. No package may
    have more than `largest` bytes. `configuration` is the content of uv's uv.toml. With `platform`, as uv names it, the
    wheels may be for another machine: nothing of them is run.
    """
    uv = Uv(interpreter, tools, build, largest, configuration, platform)
    keys = {artifact[0]: _key(artifact, interpreter, tools) for artifact in artifacts}
    artifact_of = {store.path(*keys[artifact[0]]): artifact for artifact in artifacts}

    def fill(directories: Mapping[str, str]) -> None:
        trees = {artifact_of[path][0]: directory for path, directory in directories.items()}
        with reporting(progress):
            _make([artifact_of[path] for path in directories], trees, uv, progress, store)

    paths = store.build_all([*keys.values()], fill)
    return tuple(Wheel(name, path) for name, path in zip(keys, paths, strict=True))


def _key(artifact: Artifact, interpreter: Interpreter, tools: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and the fingerprint of a wheel's store path."""
    name, version, file = artifact
    content: object = hashes_of(file)
    if isinstance(file, SourceTree) and not file.is_wheel:
        content = source_fingerprint(file, interpreter, tools)
    key = [RECIPE, name, version, content, interpreter.magic, interpreter.libraries]
    if isinstance(file, PackageSdist):  # what is built here depends on what is here
        key += [interpreter.executable, interpreter.abi, interpreter.platform]
    title = store_path.fitting(f"{name}-{version}" if version else name) or "wheel"
    return title, "wheel:" + json.dumps(key, separators=(",", ":"))


def _make(artifacts: Sequence[Artifact], trees: Mapping[str, str], uv: Uv, progress: Progress, store: Store) -> None:
    """Put each artifact into its tree, with byte code; what comes from a source is built before."""
    amount = measured([file for _, _, file in artifacts])
    sources = {name: file for name, _, file in artifacts if isinstance(file, SourceTree)}
    direct = {}
    for name, source in sources.items():
        if not source.is_wheel:
            progress.begin(f"Building {name}")
        direct[name] = direct_wheel(source, uv.interpreter, uv.tools, store, configuration=uv.configuration)
    artifacts = [(name, version, direct.get(name, file)) for name, version, file in artifacts]
    progress.begin(f"Installing {amount}", total=len(artifacts))
    install(artifacts, trees, uv, progress)
    progress.begin("Compiling byte code")
    largest_first = sorted(artifacts, key=lambda artifact: -(artifact[2].size or 0))
    compile_modules(
        [f"{trees[name]}/{uv.interpreter.libraries}" for name, _, _ in largest_first],
        uv.interpreter.executable,
        uv.tools,
    )
    for name, source in sources.items():
        for info in records.infos(f"{trees[name]}/{uv.interpreter.libraries}").get(name, ()):
            if content := origin(source):
                records.add(info, "direct_url.json", content)
    for tree in trees.values():
        run_paths.mark(tree)
    progress.finish(amount)
