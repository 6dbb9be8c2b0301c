"""The kept result of a tool: a file `tool-NAME-DIGEST.json` beside the plan, one for each choice of a call.

It holds what the tool gave, and everything that the result depends on: facts, and of each file its state and the hash
of its content. The result holds as long as the facts are the same and every file has its state or, after a mere touch,
its content. Only this user can read the file, because variables may be secret.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from esker.declare import project_directory
from esker.formats import json_text
from esker.host import files, state_file
from esker.runtimes.foreign.tool import Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.runtimes.foreign.tool import Inputs

__all__ = ["Kept", "kept_path", "read", "records", "write"]

_VERSION = 1
FileRecord = tuple[str, str]
"""The state of a file, and the hash of its content."""


class Kept:
    """A result, and the files and facts that it depends on."""

    def __init__(
        self,
        words: Iterable[str],
        variables: Mapping[str, str | None],
        learned: Iterable[str],
        contents: Mapping[str, FileRecord],
        toolchain: Toolchain,
    ) -> None:
        self.words = tuple(words)
        self.variables = dict(variables)
        """The caller's variables that decided, with their values; None for one that was not set."""
        self.learned = tuple(learned)
        """The files that only the tool could name."""
        self.contents = dict(contents)
        self.toolchain = toolchain

    def holds(self, inputs: Inputs, caller: Mapping[str, str]) -> bool:
        """Return whether the result holds for these inputs; takes over new states of files with the same content."""
        paths = {*inputs.files, *self.learned}
        if self.words != inputs.words or self.contents.keys() != paths or {*self.variables} != {*inputs.variables}:
            return False
        given = self.toolchain.variables  # inside of the activation they have these values
        if any(caller.get(name) not in {value, given.get(name, value)} for name, value in self.variables.items()):
            return False
        now = records(paths, self.contents)
        if any(now[path][1] != self.contents[path][1] for path in paths):
            return False
        self.contents = now
        return True


def kept_path(dot_flox: str, tool: str, choice: str) -> str:
    """Return the path of the result of a tool for a choice."""
    digest = hashlib.blake2b(choice.encode(), digest_size=6).hexdigest()
    return f"{dot_flox}/cache/esker/tool-{tool}-{digest}.json"


def read(path: str) -> Kept | None:
    """Return what is kept in a file; None if it is missing, damaged, another user's or of another version."""
    record = state_file.read(path, version=_VERSION)
    if record is None:
        return None
    try:
        contents = {str(name): (str(state), str(content)) for name, (state, content) in record["contents"].items()}
        toolchain = Toolchain(**record["toolchain"])
        toolchain = toolchain._replace(unset=tuple(toolchain.unset))
        pairs = (toolchain.variables, toolchain.lists, toolchain.separators)
        texts: list[Any] = [*(pair for each in pairs for pair in each.items()), toolchain.unset]
        texts = [*(part for pair in texts for part in pair), toolchain.declarations, toolchain.hook]
        variables = dict(record["variables"])
        texts += [*variables, *(value for value in variables.values() if value is not None)]
        for text in (*texts, *record["words"], *record["learned"]):
            if b"\0" in os.fsencode(text):  # which raises an error for what is no text
                return None
        if type(toolchain.has_temporary) is not bool:
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Kept(record["words"], variables, record["learned"], contents, toolchain)


def write(path: str, dot_flox: str, kept: Kept) -> None:
    """Write a result by rename, readable for its owner only."""
    record = {
        "version": _VERSION,
        "words": kept.words,
        "variables": kept.variables,
        "learned": kept.learned,
        "contents": kept.contents,
        "toolchain": kept.toolchain._asdict(),
    }
    with project_directory.writable(dot_flox, "cache", "esker") as directory:
        files.write(path, json_text.render(record).encode("ascii"), directory=directory)


def records(paths: Iterable[str], earlier: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    """Return state and content of each file; a file with the state that it had `earlier` has the same content."""
    return {path: _record(path, earlier.get(path)) for path in paths}


def _record(path: str, earlier: FileRecord | None) -> FileRecord:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return "", ""
    state = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    if earlier is not None and earlier[0] == state:
        return earlier
    return state, _content(path, status.st_mode)


def _content(path: str, mode: int) -> str:
    """Return the kind of a file, whether it can be executed, and the hash of its content or of a link's target."""
    with suppress(OSError):
        if stat.S_ISLNK(mode):
            return f"link {hashlib.blake2b(os.fsencode(os.readlink(path)), digest_size=16).hexdigest()}"
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
            return f"{'program' if mode & stat.S_IXUSR else 'file'} {digest.hexdigest()}"
    return f"{stat.S_IFMT(mode):o}"
