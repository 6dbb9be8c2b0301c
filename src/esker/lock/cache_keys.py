"""What tells that the metadata of a directory's package may have changed: the files of `tool.uv.cache-keys`.

Without that key they are pyproject.toml, setup.py and setup.cfg. An entry is a glob, `{ file = GLOB }`,
`{ dir = PATH }` (what lies directly in it) or `{ git = true }` (the commit that is checked out). Variables,
`{ env = NAME }`, are not looked at: their values could be secrets, and a hash of them would stand in the lock.

A directory may take packages from further directories by its own `[tool.uv.sources]`; they count too.
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from esker.errors import EskerError, InvalidFile
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.host import files
from esker.lock.uv_sources import Source, from_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["directory_sources", "metadata_digest", "metadata_files", "uv_table"]

_DEFAULT = ("pyproject.toml", "setup.py", "setup.cfg")


def directory_sources(sources: Iterable[Source]) -> dict[str, Source]:
    """Return the sources that are directories, by name, and those that these directories name in turn."""
    found: dict[str, Source] = {}
    pending = list(sources)
    while pending:
        source = pending.pop(0)
        if source.kind != "path" or source.name in found or not os.path.isdir(source.address):
            continue
        found[source.name] = source
        table = uv_table(source.address).get("sources")
        for name, value in (table if isinstance(table, dict) else {}).items():
            pending += [each for each in from_table(name, value, source.address, ()) if isinstance(each, Source)]
    return found


def metadata_files(directory: str) -> list[str]:
    """Return the files whose content decides whether the metadata has changed; some may be missing."""
    found = [f"{directory}/pyproject.toml"]
    for key in _keys(directory):
        if "file" in key:
            matches = sorted(glob.glob(key["file"], root_dir=directory, recursive=True))
            found += [f"{directory}/{match}" for match in matches or [key["file"]]]
        elif "dir" in key:
            found.append(f"{directory}/{key['dir']}")
        elif "git" in key and (git := _git_directory(directory)):
            found += [f"{git}/HEAD", f"{git}/logs/HEAD"]
    return list(dict.fromkeys(found))


def metadata_digest(directory: str) -> str:
    """Return a hash of what decides whether the metadata has changed, as `sha256:<hex>`."""
    digest = sha256()
    for path in metadata_files(directory):
        digest.update(f"{os.path.relpath(path, directory)}\0".encode())
        with suppress(OSError):
            content = "\n".join(sorted(os.listdir(path))).encode() if os.path.isdir(path) else _content(path)
            digest.update(sha256(content).digest())
    return f"sha256:{digest.hexdigest()}"


def _content(path: str) -> bytes:
    if path.endswith("/logs/HEAD"):
        return _commit(os.path.dirname(os.path.dirname(path)))
    with open(path, "rb") as file:
        return file.read()


def uv_table(directory: str) -> dict[str, Any]:
    """Return `[tool.uv]` of the pyproject.toml in a directory; empty if there is none that can be read."""
    path = f"{directory}/pyproject.toml"
    with suppress(ValueError, EskerError):
        if os.path.isfile(path):
            table: Any = toml_table(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST))
            for key in ("tool", "uv"):
                table = table.get(key) if isinstance(table, dict) else None
            return table if isinstance(table, dict) else {}
    return {}


def _keys(directory: str) -> Iterator[dict[str, Any]]:
    declared = uv_table(directory).get("cache-keys")
    for key in declared if isinstance(declared, list) else _DEFAULT:
        if isinstance(key, str):
            yield {"file": key}
        elif isinstance(key, dict) and all(isinstance(key.get(name, ""), str) for name in ("file", "dir")):
            yield key


def _git_directory(directory: str) -> str | None:
    """Return the `.git` directory of the repository that a directory lies in."""
    while True:
        path = f"{directory}/.git"
        if os.path.isdir(path):
            return path
        if os.path.isfile(path):  # of a worktree
            with open(path, encoding="utf-8") as file:
                return os.path.normpath(os.path.join(directory, file.read().partition("gitdir: ")[2].strip()))
        if directory in {"/", ""}:
            return None
        directory = os.path.dirname(directory)


def _commit(git: str) -> bytes:
    """Return the commit that is checked out, as the last line of the log of HEAD has it."""
    with open(f"{git}/logs/HEAD", "rb") as file:
        return file.read().rstrip().rpartition(b"\n")[2].split()[1]
