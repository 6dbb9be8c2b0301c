"""Which Compose files a project has, and everything that what Compose says of them depends on."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments, dot_flox_of
from esker.declare.compose_names import BASES, OVERRIDES
from esker.errors import HostError, ServiceError
from esker.host import files, state_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.declare.declaration import Declaration

__all__ = [
    "KEPT",
    "OVERRIDE",
    "candidates",
    "compose_files",
    "inputs_digest",
    "override_path",
    "own_variables",
    "read_files",
]

OVERRIDE = "compose.override.yaml"
"""The name, in `.flox/cache/esker`, of the Compose file with the ports that Esker has chosen."""
KEPT = "compose.json"
"""The name of the file there in which what Compose says is kept."""
_LARGEST = 4 << 20
"""Bytes of a Compose file."""
_MOST = 200
"""How many files one project may consist of."""
_WORD = re.compile(r"""[^\s"'\[\]{},=]+""")
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_SETTING = re.compile(r"^\s*(?:export\s+)?COMPOSE_FILE\s*=\s*(.*)$", re.MULTILINE)


def override_path(dot_flox: str) -> str:
    """Return the path of the Compose file with the ports that Esker has chosen for the environment at `dot_flox`."""
    return f"{dot_flox}/cache/esker/{OVERRIDE}"


def own_variables(environ: Mapping[str, str], own: str) -> dict[str, str]:
    """Return the caller's variables without what activations have exported for Compose, but for that of `own`."""
    variables = dict(environ)
    for element in active_environments(environ.get(ACTIVE_ENVIRONMENTS)):
        dot_flox = dot_flox_of(element)
        if dot_flox is None or dot_flox == own:
            continue
        kept = state_file.read(f"{dot_flox}/cache/esker/{KEPT}", as_directory=True) or {}
        if variables.get("COMPOSE_PROJECT_NAME") == kept.get("name", ""):
            variables.pop("COMPOSE_PROJECT_NAME", None)
        named = variables.get("COMPOSE_FILE", "").split(os.pathsep)
        if override_path(dot_flox) in named:
            del variables["COMPOSE_FILE"]
    return variables


def compose_files(declaration: Declaration, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the Compose files of a project, absolute, in the order in which Compose merges them; none if it has none.

    Without a `file` in the manifest these are the files that Compose itself would take in the project directory: those
    of COMPOSE_FILE, also from `.env`, or else the base file and its override. Raises ServiceError if one is missing.
    """
    table, project = declaration.esker.compose, declaration.project
    environ = own_variables(environ, declaration.dot_flox)
    if table is not None and table.file is not None:
        return (_existing(f"{project}/{table.file}", "`file` in [plugins.esker.compose]"),)
    separator = environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    named = environ.get("COMPOSE_FILE") or _from_env_file(f"{project}/.env")
    if named:
        paths = [os.path.normpath(os.path.join(project, each)) for each in named.split(separator) if each]
        own = override_path(declaration.dot_flox)
        return tuple(_existing(path, "COMPOSE_FILE") for path in paths if path != own)
    base = next((name for name in BASES if os.path.isfile(f"{project}/{name}")), None)
    if base is None:
        if table is not None:
            listed = ", ".join(f"`{name}`" for name in BASES)
            raise ServiceError(
                "[plugins.esker.compose] names no `file`, and Compose finds none here",
                hint=f"write one of {listed}, or name it: `file = …`",
            )
        return ()
    override = [name for name in OVERRIDES if os.path.isfile(f"{project}/{name}")][:1]
    return tuple(f"{project}/{name}" for name in (base, *override))


def candidates(declaration: Declaration) -> tuple[str, ...]:
    """Return the paths at which a file that appears or vanishes makes other files the Compose files of a project."""
    table, project = declaration.esker.compose, declaration.project
    if table is not None and table.file is not None:
        return ()
    bases = _to_first(BASES, project)
    if not os.path.isfile(f"{project}/{bases[-1]}"):
        return tuple(f"{project}/{name}" for name in bases)
    return tuple(f"{project}/{name}" for name in (*bases, *_to_first(OVERRIDES, project), ".env"))


def _to_first(names: tuple[str, ...], project: str) -> tuple[str, ...]:
    """Return the names up to that of the first file that is there; all of them if there is none."""
    found = next((number for number, name in enumerate(names) if os.path.isfile(f"{project}/{name}")), len(names))
    return names[: found + 1]


def _existing(path: str, source: str) -> str:
    if not os.path.isfile(path):
        raise ServiceError(f"the Compose file `{path}` does not exist, but {source} names it", hint="correct it")
    return path


def _from_env_file(path: str) -> str | None:
    with suppress(HostError, FileNotFoundError):
        text = files.read(path, limit=_LARGEST).decode(errors="replace") if os.path.isfile(path) else ""
        found = _SETTING.findall(text)
        if found:
            return str(found[-1]).strip().strip("\"'") or None
    return None


def read_files(paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of Compose files, and of all files that they may take something from, by path.

    What a Compose file takes from others (`include`, `extends`, `env_file`) cannot be told without Compose. So every
    word that is the path of a file counts; a word too much only means that Compose is asked once too often. `.env`
    counts as well. Raises HostError if a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    waiting = [path for path in paths if path]
    directories = {os.path.dirname(path) for path in waiting}
    waiting += [f"{directory}/.env" for directory in sorted(directories) if os.path.isfile(f"{directory}/.env")]
    while waiting and len(contents) < _MOST:
        path = waiting.pop()
        if path in contents:
            continue
        contents[path] = files.read(path, limit=_LARGEST)
        if not path.endswith((".yml", ".yaml")):
            continue
        text = contents[path].decode(errors="replace")
        directory = os.path.dirname(path)
        for word in _WORD.findall(text):
            other = os.path.normpath(os.path.join(directory, word))
            if os.path.isfile(other) and os.path.getsize(other) <= _LARGEST and "\0" not in other:
                waiting.append(other)
    return contents


def inputs_digest(contents: Mapping[str, bytes], variables: Mapping[str, str]) -> str:
    """Return a digest of the files and of those variables whose names occur in them, and of Compose's own variables.

    The values may be secrets; the digest, in a file that only its owner reads, does not give them away.
    """
    digest = hashlib.blake2b(digest_size=16)
    words = {word for data in contents.values() for word in _NAME.findall(data.decode(errors="replace"))}
    for path in sorted(contents):
        digest.update(f"{path}\0{len(contents[path])}\0".encode(errors="surrogateescape"))
        digest.update(contents[path])
    for name in sorted(variables):
        if name in words or name.startswith(("COMPOSE_", "DOCKER_")):
            digest.update(f"{name}={variables[name]}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
