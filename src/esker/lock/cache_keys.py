"""What a change of makes it necessary to build a project again: uv's `tool.uv.cache-keys`.

A key is a file or a glob (`"src/*.c"`, `{ file = "…" }`), whether a directory exists (`{ dir = "…" }`), the commit or
the tags of the repository (`{ git = true }`, `{ git = { commit = true, tags = true } }`), or a variable
(`{ env = "…" }`). An activation looks at the files behind the keys as it looks at the manifest. What decides is their
content: a file that was only touched costs no new build. A variable counts when something else has changed. Git is not
run; the few files that tell the commit are read.

Specification: docs.astral.sh/uv/concepts/cache, "Dynamic metadata".
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import InvalidFile, Problem
from esker.host import files
from esker.host.globs import MOST, matches, too_wide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["CacheKey", "cache_keys", "digest", "watched"]

_DEFAULT = ("pyproject.toml", "setup.py", "setup.cfg")
_KINDS = ("file", "dir", "git", "env")
_NOT_SOURCE = {".git", ".flox"}


class CacheKey(NamedTuple):
    """One key: its kind (`file`, `dir`, `commit`, `tags` or `env`), and the path, glob or name; none for git's."""

    kind: str
    value: str = ""


def cache_keys(declared: Any, path: str) -> tuple[CacheKey, ...]:
    """Return the keys that the pyproject.toml at `path` declares, by default its own name and setuptools' files."""
    entries = _DEFAULT if declared is None else declared
    if not isinstance(entries, list | tuple):
        raise _invalid(path, "it has to be a list")
    return tuple(dict.fromkeys([CacheKey("file", "pyproject.toml"), *(key for e in entries for key in _keys(e, path))]))


def _keys(entry: Any, path: str) -> Iterator[CacheKey]:
    table = {"file": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or len(table) != 1 or next(iter(table)) not in _KINDS:
        raise _invalid(path, f"`{entry}` is no key")
    kind, value = next(iter(table.items()))
    if kind != "git":
        if not isinstance(value, str) or not value or "\0" in value:
            raise _invalid(path, f"`{entry}` is no key")
        yield CacheKey(kind, value)
        return
    wanted = {"commit": value} if isinstance(value, bool) else value
    if not isinstance(wanted, dict) or not wanted.keys() <= {"commit", "tags"}:
        raise _invalid(path, f"`{entry}` is no key")
    yield from (CacheKey(name) for name in sorted(wanted) if wanted[name])


def _invalid(path: str, why: str) -> InvalidFile:
    hint = 'write for example cache-keys = ["pyproject.toml", { file = "src/*.c" }, { git = true }]'
    return InvalidFile(path, [Problem(f"`cache-keys` of [tool.uv]: {why}", hint=hint)])


def watched(directory: str, keys: Iterable[CacheKey]) -> list[str]:
    """Return the paths whose status tells whether something behind the keys may have changed."""
    found: list[str] = []
    for key in keys:
        if key.kind == "file":
            found += [*_files(directory, key.value), *_directories(directory, key.value)]
        elif key.kind == "dir":
            found.append(os.path.join(directory, key.value))
        elif key.kind in {"commit", "tags"}:
            repository = _repository(directory)
            if repository is None:
                found.append(f"{directory}/.git")
            else:
                found += repository.commit_files() if key.kind == "commit" else repository.tag_files()
    return list(dict.fromkeys(found))


def digest(directory: str, keys: Iterable[CacheKey], variables: Mapping[str, str]) -> str:
    """Return a hash of everything behind the keys; `variables` are those that a key of the kind `env` may name."""
    state: list[Any] = []
    for key in keys:
        value: Any = None
        if key.kind == "file":
            value = [[os.path.relpath(path, directory), _hash(path)] for path in _files(directory, key.value)]
        elif key.kind == "dir":
            value = os.path.isdir(os.path.join(directory, key.value))
        elif key.kind == "env":
            value = variables.get(key.value)
        elif repository := _repository(directory):
            value = repository.commit() if key.kind == "commit" else repository.tags()
        state.append([key.kind, key.value, value])
    return hashlib.sha256(json.dumps(state).encode("ascii")).hexdigest()


def _files(directory: str, pattern: str) -> list[str]:
    """Return the files that a pattern matches; a plain path counts although nothing is there."""
    if not glob.has_magic(pattern):
        return [os.path.join(directory, pattern)]
    paths = (os.path.join(directory, match) for match in matches(pattern, directory))
    return sorted(path for path in paths if os.path.isfile(path))


def _directories(directory: str, pattern: str) -> list[str]:
    """Return the directories in which another file could match a pattern."""
    if not glob.has_magic(pattern):
        return []
    if "**" not in pattern:
        above = os.path.dirname(pattern)
        return [os.path.join(directory, each) for each in matches(above, directory)] or [directory]
    base = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    found = []
    for path, names, _ in os.walk(os.path.join(directory, base)):
        names[:] = sorted(name for name in names if name not in _NOT_SOURCE)
        found.append(path)
        if len(found) > MOST:
            raise too_wide(pattern)
    return found


def _hash(path: str) -> str | None:
    try:
        with open(path, "rb", opener=files.plain) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class _Repository(NamedTuple):
    """The files of a git repository that tell its commit and tags."""

    own: str
    """The directory of the work tree."""
    common: str
    """The directory that all work trees share."""

    def commit_files(self) -> list[str]:
        branch = self._branch()
        return [f"{self.own}/HEAD", *([f"{self.common}/{branch}"] if branch else []), f"{self.common}/packed-refs"]

    def tag_files(self) -> list[str]:
        return [f"{self.common}/refs/tags", f"{self.common}/packed-refs"]

    def commit(self) -> str:
        branch = self._branch()
        if not branch:
            return _text(f"{self.own}/HEAD").strip()
        return _text(f"{self.common}/{branch}").strip() or self._packed().get(branch, "")

    def tags(self) -> dict[str, str]:
        loose = {}
        for path, _, names in os.walk(f"{self.common}/refs/tags"):
            for name in names:
                loose[os.path.relpath(f"{path}/{name}", self.common)] = _text(f"{path}/{name}").strip()
        return dict(
            sorted({**{k: v for k, v in self._packed().items() if k.startswith("refs/tags/")}, **loose}.items())
        )

    def _branch(self) -> str:
        """Return the ref that HEAD names; empty if it names a commit."""
        head = _text(f"{self.own}/HEAD").strip()
        return head.removeprefix("ref: ") if head.startswith("ref: refs/") and ".." not in head else ""

    def _packed(self) -> dict[str, str]:
        lines = (line.split(" ", 1) for line in _text(f"{self.common}/packed-refs").splitlines())
        return {line[1]: line[0] for line in lines if len(line) == 2}  # noqa: PLR2004  # commit and name


def _repository(directory: str) -> _Repository | None:
    """Return the repository around a directory, or None."""
    while not os.path.lexists(f"{directory}/.git"):
        above = os.path.dirname(directory)
        if above == directory:
            return None
        directory = above
    own = f"{directory}/.git"
    if os.path.isfile(own):  # of a further work tree, or of a submodule
        own = os.path.normpath(os.path.join(directory, _text(own).strip().removeprefix("gitdir: ")))
    common = _text(f"{own}/commondir").strip()
    return _Repository(own, os.path.normpath(os.path.join(own, common)) if common else own)


def _text(path: str) -> str:
    with suppress(OSError, ValueError), open(path, encoding="utf-8", opener=files.plain) as file:
        return file.read()
    return ""
