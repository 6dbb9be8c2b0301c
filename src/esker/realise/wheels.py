"""A Python environment as one store path: a relocatable uv environment, keyed by its inputs.

Two builds with the same key are equal byte for byte. What uv writes about itself is removed. Byte code is compiled in
sorted order with unchecked hashes, so that Python neither compares it with source times (all are 1) nor rewrites it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name

from esker.errors import CommandFailed, HostError, RealisationFailed
from esker.host import prctl, trees
from esker.host.uv import is_unreachable, run_uv
from esker.lock.source_trees import SourceTree, identity
from esker.progress import reporting
from esker.realise.amount import counting, measured
from esker.realise.overlap import overlapping
from esker.realise.source_builds import DirectWheel, direct_wheel, source_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.store.store import Store

__all__ = ["Artifact", "PythonEnvironment", "python_environment", "selected_artifacts"]

RECIPE = 3
"""Increase it whenever the same inputs would give a different tree."""

_COMPILERS = 2
"""The same on every machine: what a compiler process has compiled can change the bytes of what it compiles next."""
# Increase RECIPE with any change to this script: what a process holds in memory can show in the byte code it writes.
_COMPILE = """\
import os, py_compile, sys
libraries, share, shares = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
found = []
for directory, directories, files in os.walk(libraries):
    found += [os.path.join(directory, name) for name in files if name.endswith(".py")]
for path in sorted(found)[share::shares]:
    try:
        py_compile.compile(path, dfile=os.path.relpath(path, libraries), doraise=True,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except (py_compile.PyCompileError, UnicodeError, ValueError, RecursionError):
        pass
"""
_NO_SPACE = "No space left"
_MAKE_ROOM = "free some space: esker store gc, uv cache clean"
_HASHES = {f"sha{bits}": re.compile(rf"[0-9a-fA-F]{{{bits // 4}}}") for bits in (256, 384, 512)}
_OTHER_FILE = re.compile(r"[Hh]ash mismatch|--require-hashes")
_GONE = re.compile(r"was not found in the package registry|there (is|are) no versions? of|404 Not Found")
_RESERVED = re.compile(
    r"Failed to install: \S+ \((?P<name>[^=]+)==[^)]*\)\s+cause: "
    r"Scripts must not use the reserved name `(?P<command>[^`]+)`"
)
_ORIGIN = ("direct_url.json", "uv_build.json", "uv_cache.json")
_DROPPED = (".lock", ".gitignore", "CACHEDIR.TAG")

Artifact = tuple[str, str, PackageWheel | PackageSdist | SourceTree | DirectWheel]
"""A package's normalised name, its version, and what is installed for it on this platform.

The version of what comes from a directory is empty: only its build tells it.
"""


class PythonEnvironment(NamedTuple):
    """A Python environment in the store."""

    path: str
    """Its physical store path."""
    libraries: str
    """Its site-packages."""


def selected_artifacts(
    lock: Pylock,
    interpreter: Interpreter,
    build: Sequence[str] = (),
    sources: Mapping[str, SourceTree] = MappingProxyType({}),
) -> tuple[Artifact, ...]:
    """Return the files that `lock` installs for `interpreter`, sorted by name.

    Packages named in `build` are installed from a source distribution where the lock has one; those that do not come
    from an index are among `sources`, by what `identity` gives for each.
    """
    try:
        chosen = list(
            lock.select(
                environment=interpreter.markers,  # type: ignore[arg-type]  # a plain dict of the marker variables
                tags=list(_tags(interpreter)),
                prefer_sdist_predicate=lambda name: name in build,
            )
        )
    except PylockSelectError as error:
        raise RealisationFailed(
            f"the lock cannot be installed for Python {interpreter.version} ({interpreter.platform}): {error}",
            hint="its wheels may need another Python or a newer system: ask for another version; "
            "or declare this system in `options.systems`, then: esker lock",
        ) from error
    artifacts: list[Artifact] = []
    for package, artifact in chosen:
        if identity(package) in sources:
            artifacts.append((package.name, str(package.version or ""), sources[identity(package)]))
            continue
        if not isinstance(artifact, PackageWheel | PackageSdist) or package.version is None:
            raise RealisationFailed(
                f"`{package.name}` is locked to an address, not to a version in an index",
                hint="remove `.flox/pylock.toml`, then: esker lock",
            )
        if not _hashes(artifact):
            raise RealisationFailed(
                f"`{package.name}` is locked without a SHA-2 hash", hint="remove `.flox/pylock.toml`, then: esker lock"
            )
        artifacts.append((package.name, str(package.version), artifact))
    return tuple(sorted(artifacts, key=lambda item: item[0]))


def python_environment(
    store: Store,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    progress: Progress,
    *,
    build: Sequence[str] = (),
    configuration: str = "",
) -> PythonEnvironment:
    """Return the environment that holds `artifacts`, building it if it is missing.

    `tools` are the environment variables for uv, and `configuration` is the content of its uv.toml; the packages named
    in `build` may be built from source.
    """

    def fill(directory: str) -> None:
        with reporting(progress):
            amount = measured([artifact for _, _, artifact in artifacts])
            files: list[Artifact] = []
            for name, version, artifact in artifacts:
                if isinstance(artifact, SourceTree):
                    progress.begin(f"Building {name}")
                    wheel = direct_wheel(artifact, interpreter, tools, store, configuration=configuration)
                    files.append((name, version, wheel))
                else:
                    files.append((name, version, artifact))
            if artifacts:
                progress.begin(f"Installing {amount}", total=len(artifacts))
            with counting(f"{directory}/{_libraries(interpreter)}", progress):
                _install(directory, files, interpreter, tools, build, configuration)
            progress.begin("Compiling byte code")
            _compile(directory, interpreter, tools)
            _drop_traces(directory, f"{directory}/{_libraries(interpreter)}", files)
            if artifacts:
                progress.finish(amount)

    path = store.build(f"python-{interpreter.version}-environment", _fingerprint(artifacts, interpreter, tools), fill)
    return PythonEnvironment(path, f"{path}/{_libraries(interpreter)}")


def _fingerprint(artifacts: Sequence[Artifact], interpreter: Interpreter, tools: Mapping[str, str]) -> str:
    entries = [[name, version, _content_key(artifact, interpreter, tools)] for name, version, artifact in artifacts]
    key = [RECIPE, interpreter.executable, interpreter.version, interpreter.abi, interpreter.platform, entries]
    return "python-environment:" + json.dumps(key, separators=(",", ":"))


def _content_key(
    artifact: PackageWheel | PackageSdist | SourceTree | DirectWheel, interpreter: Interpreter, tools: Mapping[str, str]
) -> object:
    if isinstance(artifact, SourceTree) and not artifact.is_wheel:
        return source_fingerprint(artifact, interpreter, tools)
    return sorted(artifact.hashes.items())


def _install(  # what uv gets, each from another place
    directory: str,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    build: Sequence[str],
    configuration: str,
) -> None:
    """Fill `directory` from uv's cache; ask the index only if that fails, because it costs 0.4 s."""
    try:
        try:
            _fill(directory, artifacts, interpreter, tools, build, ["--offline"], configuration)
        except CommandFailed as failure:
            if _is_full(failure):
                raise
            # Start over: uv would take a half-installed package for an installed one.
            for name in os.listdir(directory):
                trees.remove_tree(f"{directory}/{name}")
            _fill(directory, artifacts, interpreter, tools, build, [], configuration)
    except CommandFailed as failure:
        raise _explained(failure) from failure


def _fill(  # what uv gets, each from another place
    directory: str,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    build: Sequence[str],
    options: Sequence[str],
    configuration: str,
) -> None:
    sources = [word for name in build for word in ("--no-binary", name)]
    options = [*options, "--require-hashes", "--only-binary", ":all:", *sources]
    options += ["--link-mode", "copy", "--no-break-system-packages"]
    # Inside `directory`, so that it is removed with it if we are killed; at random, so that no wheel can know its name.
    with tempfile.TemporaryDirectory(prefix=".esker-", dir=directory) as scratch:
        requirements = f"{scratch}/requirements.txt"
        with open(f"{scratch}/uv.toml", "x", encoding="utf-8") as file:
            file.write(configuration)  # an empty one too: uv would read another that lies in a directory above

        def install(place: str, chosen: Sequence[Artifact]) -> None:
            make = ["venv", "--relocatable", "--no-project", "--allow-existing", "--python", interpreter.executable]
            run_uv([*make, place], tools, cwd=scratch)
            for name in os.listdir(f"{place}/bin"):
                if name.startswith("activate") or name.endswith(".bat"):  # now, since packages may bring such names
                    os.unlink(f"{place}/bin/{name}")
            if not chosen:
                return
            configuration = _content(f"{place}/pyvenv.cfg")
            with open(requirements, "w", encoding="utf-8") as file:
                file.writelines(_requirement(artifact) for artifact in chosen)
            sync = ["pip", "sync", requirements, "--python", f"{place}/bin/python"]
            run_uv([*sync, *options], tools, cwd=scratch)
            if _content(f"{place}/pyvenv.cfg") != configuration:  # it could name another interpreter
                message = "a locked package brings a `pyvenv.cfg` of its own"
                raise RealisationFailed(message, hint="take that package out")

        install(directory, artifacts)
        # uv installs wheels in parallel, so of those that overlap any could win. We move them over one after the other,
        # so that the last by name wins. Each is first installed in an environment of its own: uv starts the Python of
        # the environment that it installs into, and that runs the .pth files of every package there.
        overlaps = overlapping(f"{directory}/{_libraries(interpreter)}")
        for artifact in artifacts:
            if artifact[0] in overlaps:
                install(f"{scratch}/{artifact[0]}", [artifact])
                trees.move_tree_over(f"{scratch}/{artifact[0]}", directory)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _requirement(artifact: Artifact) -> str:
    name, version, file = artifact
    asked = f"{name} @ {file.address}" if isinstance(file, DirectWheel) else f"{name}=={version}"
    return f"{asked} {' '.join(f'--hash={kind}:{value}' for kind, value in _hashes(file))}\n"


def _hashes(file: PackageWheel | PackageSdist | SourceTree | DirectWheel) -> list[tuple[str, str]]:
    """Return the well-formed SHA-2 hashes; a malformed one could smuggle options into the file that uv reads."""
    return [
        (kind, value)
        for kind, value in sorted(file.hashes.items())
        if kind in _HASHES and _HASHES[kind].fullmatch(value)
    ]


def _explained(failure: CommandFailed) -> HostError | RealisationFailed:
    """Return the error that tells a person why uv failed."""
    error = failure.output.partition("error: ")[2] or failure.output  # uv reports its progress before it
    cause = " ".join(error.partition("hint:")[0].replace("error: ", "").split())
    if is_unreachable(failure):
        return HostError("the locked packages could not be fetched: no package index answered", hint=failure.hint)
    if _is_full(failure):
        return HostError(f"the disk is full: {cause}", hint=_MAKE_ROOM)
    if failure.hint:  # uv's failure has one only if the machine is at fault, not the lock
        return HostError(f"the locked packages could not be fetched: {cause}", hint=failure.hint)
    if _OTHER_FILE.search(failure.output):
        return RealisationFailed(
            f"an index gave a file that is not the locked one: {cause}",
            hint="do not use that file; if it was republished on purpose, or you edited the lock: esker lock --upgrade",
        )
    if _GONE.search(failure.output):
        return RealisationFailed(
            f"the package index does not have what is locked: {cause}",
            hint="set UV_DEFAULT_INDEX or UV_INDEX to an index that has it, or lock anew: esker lock --upgrade",
        )
    reserved = _RESERVED.search(failure.output)
    if reserved:
        cause = f"`{reserved['name']}` brings a command `{reserved['command']}`, and that is the interpreter's name"
    return RealisationFailed(
        f"the locked packages could not be installed: {cause}",
        hint="ask for another version of the package, or use another package",
    )


def _is_full(failure: CommandFailed) -> bool:
    return _NO_SPACE in failure.output


def _compile(directory: str, interpreter: Interpreter, tools: Mapping[str, str]) -> None:
    command = [interpreter.executable, "-I", "-S", "-B", "-W", "ignore", "-c", _COMPILE]
    command.append(f"{directory}/{_libraries(interpreter)}")
    shares = [
        subprocess.Popen(
            [*command, str(share), str(_COMPILERS)],
            env=tools,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),  # noqa: PLW1509  # safe in threads, as it says
        )
        for share in range(_COMPILERS)
    ]
    errors = [share.communicate()[1].decode(errors="replace").strip() for share in shares]
    for share, error in zip(shares, errors, strict=True):
        if share.returncode != 0:
            last = error.rpartition("\n")[2]
            if _NO_SPACE in last:
                raise HostError(f"the disk is full: {last}", hint=_MAKE_ROOM)
            raise RealisationFailed(f"byte code could not be compiled by `{interpreter.executable}`: {last}")


def _libraries(interpreter: Interpreter) -> str:
    major, minor = interpreter.release
    return f"lib/python{major}.{minor}/site-packages"


def _drop_traces(directory: str, libraries: str, artifacts: Sequence[Artifact]) -> None:
    """Remove what uv writes about itself, which would differ between builds, and where it took wheels from."""
    direct = {name for name, _, file in artifacts if isinstance(file, DirectWheel)}
    for entry in os.listdir(libraries) if direct else ():
        if entry.endswith(".dist-info") and canonicalize_name(entry.partition("-")[0]) in direct:
            _forget_origin(f"{libraries}/{entry}")
    for name in _DROPPED:
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            os.unlink(path)
    configuration = f"{directory}/pyvenv.cfg"
    with open(configuration, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("uv =")]
    with open(configuration, "w", encoding="utf-8") as file:
        file.writelines(lines)


def _forget_origin(info: str) -> None:
    """Remove the files that lead to a wheel in the store, which need not stay there, and their lines in RECORD."""
    for name in _ORIGIN:
        if os.path.exists(f"{info}/{name}"):
            os.unlink(f"{info}/{name}")
    with open(f"{info}/RECORD", encoding="utf-8", newline="") as file:
        lines = [line for line in file if line.partition(",")[0].rpartition("/")[2] not in _ORIGIN]
    with open(f"{info}/RECORD", "w", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def _tags(interpreter: Interpreter) -> Iterator[Tag]:
    version = interpreter.release
    yield from cpython_tags(version)
    yield from compatible_tags(version, f"cp{version[0]}{version[1]}")
