"""A Python environment as one store path: a relocatable uv environment, keyed by what goes into it.

Two builds of one key are equal byte for byte: what uv writes about itself is dropped, and byte code is compiled in
sorted order with unchecked hashes, so that it needs no source times (all are 1) and nothing is ever written back.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.tags import Tag, compatible_tags, cpython_tags

from esker.errors import CommandFailed, HostError, RealisationFailed
from esker.host import prctl, trees
from esker.host.uv import is_unreachable, run_uv
from esker.realise.overlap import overlapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.store.store import Store

__all__ = ["Artifact", "PythonEnvironment", "python_environment", "selected"]

RECIPE = 3
"""Raised whenever the same inputs would give another tree."""

_COMPILERS = 2
"""Always as many, on every machine: what a compiler has compiled before can show in the bytes of what comes after."""
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
_DROPPED = (".lock", ".gitignore", "CACHEDIR.TAG")

Artifact = tuple[str, str, PackageWheel | PackageSdist]
"""Normalised name, version, and the file that is installed for it on this platform."""


class PythonEnvironment(NamedTuple):
    """A realised environment."""

    path: str
    """Its store path, physical."""
    libraries: str
    """Its site-packages."""


def selected(lock: Pylock, interpreter: Interpreter, build: Sequence[str] = ()) -> tuple[Artifact, ...]:
    """Return what `lock` installs for `interpreter`, by name."""
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
    found: list[Artifact] = []
    for package, artifact in chosen:
        if not isinstance(artifact, PackageWheel | PackageSdist) or package.version is None:
            raise RealisationFailed(
                f"`{package.name}` is locked to an address, not to a version of an index", hint="make the lock again"
            )
        if not _hashes(artifact):
            raise RealisationFailed(
                f"`{package.name}` is locked without a SHA-2 hash", hint="remove `.flox/pylock.toml`, then: esker lock"
            )
        found.append((package.name, str(package.version), artifact))
    return tuple(sorted(found, key=lambda item: item[0]))


def python_environment(
    store: Store,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    progress: Progress,
    *,
    build: Sequence[str] = (),
) -> PythonEnvironment:
    """Return the environment that holds `artifacts`, made if it is not there yet; `tools` are the variables of uv."""

    def fill(directory: str) -> None:
        if artifacts:
            progress.begin(f"Installing {len(artifacts)} Python package{'s' * (len(artifacts) > 1)}")
        _install(directory, artifacts, interpreter, tools, build)
        progress.begin("Compiling byte code")
        _compile(directory, interpreter, tools)
        _drop_traces(directory)
        progress.end()

    path = store.build(f"python-{interpreter.version}-environment", _fingerprint(artifacts, interpreter), fill)
    return PythonEnvironment(path, f"{path}/{_libraries(interpreter)}")


def _fingerprint(artifacts: Sequence[Artifact], interpreter: Interpreter) -> str:
    entries = [[name, version, sorted(artifact.hashes.items())] for name, version, artifact in artifacts]
    key = [RECIPE, interpreter.executable, interpreter.version, interpreter.abi, interpreter.platform, entries]
    return "python-environment:" + json.dumps(key, separators=(",", ":"))


def _install(
    directory: str,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    build: Sequence[str],
) -> None:
    """Fill `directory` from uv's cache, and only where that does not do from the index: asking it costs 0.4 s."""
    try:
        try:
            _fill(directory, artifacts, interpreter, tools, build, ["--offline"])
        except CommandFailed as failure:
            if _is_full(failure):
                raise
            # Anew: whatever uv has begun to install, it would take for installed.
            for name in os.listdir(directory):
                trees.remove_tree(f"{directory}/{name}")
            _fill(directory, artifacts, interpreter, tools, build, [])
    except CommandFailed as failure:
        raise _explained(failure) from failure


def _fill(
    directory: str,
    artifacts: Sequence[Artifact],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    build: Sequence[str],
    options: Sequence[str],
) -> None:
    sources = [word for name in build for word in ("--no-binary", name)]
    options = [*options, "--require-hashes", "--only-binary", ":all:", *sources]
    options += ["--link-mode", "copy", "--no-break-system-packages"]
    # Within the directory, so that it goes with it when all are killed, and under a name that no wheel can know.
    with tempfile.TemporaryDirectory(prefix=".esker-", dir=directory) as scratch:
        requirements = f"{scratch}/requirements.txt"
        with open(f"{scratch}/uv.toml", "x"):
            pass  # uv reads the nearest settings: now not those that somebody has put into a directory above

        def install(place: str, chosen: Sequence[Artifact]) -> None:
            make = ["venv", "--relocatable", "--no-project", "--allow-existing", "--python", interpreter.executable]
            run_uv([*make, place], tools, cwd=scratch)
            for name in os.listdir(f"{place}/bin"):
                if name.startswith("activate") or name.endswith(".bat"):  # before packages bring such names
                    os.unlink(f"{place}/bin/{name}")
            if not chosen:
                return
            configuration = _content(f"{place}/pyvenv.cfg")
            with open(requirements, "w", encoding="utf-8") as file:
                file.writelines(_requirement(artifact) for artifact in chosen)
            sync = ["pip", "sync", requirements, "--python", f"{place}/bin/python"]
            run_uv([*sync, *options], tools, cwd=scratch)
            if _content(f"{place}/pyvenv.cfg") != configuration:  # it would be the environment of another interpreter
                message = "a locked package brings a `pyvenv.cfg` of its own"
                raise RealisationFailed(message, hint="take that package out")

        install(directory, artifacts)
        # Side by side, whoever comes last would win; one after the other, it is the last by name. Each is installed
        # alone first, because the Python that uv asks about a place runs the .pth files of all that is there.
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
    return f"{name}=={version} {' '.join(f'--hash={kind}:{value}' for kind, value in _hashes(file))}\n"


def _hashes(file: PackageWheel | PackageSdist) -> list[tuple[str, str]]:
    """Return the hashes that are worth something and are what they should be: what uv reads has no quoting."""
    return [
        (kind, value)
        for kind, value in sorted(file.hashes.items())
        if kind in _HASHES and _HASHES[kind].fullmatch(value)
    ]


def _explained(failure: CommandFailed) -> HostError | RealisationFailed:
    error = failure.output.partition("error: ")[2] or failure.output  # before it, uv says how far it came
    cause = " ".join(error.partition("hint:")[0].replace("error: ", "").split())
    if is_unreachable(failure):
        return HostError("the locked packages could not be fetched: no package index answered", hint=failure.hint)
    if _is_full(failure):
        return HostError(f"the disk is full: {cause}", hint=_MAKE_ROOM)
    if failure.hint:  # of the machine, which is at fault then, not what is locked
        return HostError(f"the locked packages could not be fetched: {cause}", hint=failure.hint)
    if _OTHER_FILE.search(failure.output):
        return RealisationFailed(
            f"an index gave a file that is not the locked one: {cause}",
            hint="do not go on with it; if it was published again on purpose, or the lock edited: esker lock --upgrade",
        )
    if _GONE.search(failure.output):
        return RealisationFailed(
            f"the package index does not have what is locked: {cause}",
            hint="name one that has it in UV_DEFAULT_INDEX or UV_INDEX, or lock what there is: esker lock --upgrade",
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
    said = [share.communicate()[1].decode(errors="replace").strip() for share in shares]
    for share, text in zip(shares, said, strict=True):
        if share.returncode != 0:
            last = text.rpartition("\n")[2]
            if _NO_SPACE in last:
                raise HostError(f"the disk is full: {last}", hint=_MAKE_ROOM)
            raise RealisationFailed(f"byte code could not be compiled by `{interpreter.executable}`: {last}")


def _libraries(interpreter: Interpreter) -> str:
    major, minor = interpreter.release
    return f"lib/python{major}.{minor}/site-packages"


def _drop_traces(directory: str) -> None:
    for name in _DROPPED:
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            os.unlink(path)
    configuration = f"{directory}/pyvenv.cfg"
    with open(configuration, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("uv =")]
    with open(configuration, "w", encoding="utf-8") as file:
        file.writelines(lines)


def _tags(interpreter: Interpreter) -> Iterator[Tag]:
    version = interpreter.release
    yield from cpython_tags(version)
    yield from compatible_tags(version, f"cp{version[0]}{version[1]}")
