"""A git tree at a commit, as its objects have it: never checked out, so that no attribute, filter or hook changes it.

A submodule, a pointer of git LFS and a link that leads out are refused: none of them is what people expect to find.
"""

from __future__ import annotations

import json
import os
import posixpath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from esker.declare import trust
from esker.errors import CommandFailed, ImageError
from esker.formats import git_address
from esker.formats.counted import counted
from esker.formats.image_lock import LockedInput
from esker.formats.printable import printable
from esker.formats.urls import redact_repository
from esker.host.git import TOGETHER, contents_of, fetched_commit, tree_entries, write_content
from esker.host.scratch import scratch
from esker.progress import reporting
from esker.ship.content.components import Component
from esker.ship.content.prepared.source import Source, size_of, tree_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from esker.declare.prepared_table import PreparedTable
    from esker.host.git import TreeEntry
    from esker.progress import Progress
    from esker.ship.content.making import Making

__all__ = ["git_tree"]

_RECIPE = 1
"""Increase it whenever the same commit would give other files."""
_KIND = "git"
_MODES = {"100644": 0o644, "100664": 0o644, "100755": 0o755}
_LINK, _SUBMODULE = "120000", "160000"
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LARGEST_POINTER = 1024
_MOST_FILES = 200_000
_LONGEST_PATH, _LONGEST_NAME = 3000, 255
"""Bytes, with room for the directory of the store."""
_SHOWN = 12
"""Characters of a commit."""


def git_tree(making: Making, table: PreparedTable) -> Source:
    """Return the tree that an entry names, pinned to a commit; raises ImageError, NotFound and NotTrusted."""
    tree = _Tree(making, table)
    name = redact_repository(table.address)
    before = making.pin(_KIND, name)
    stated = table.rev if table.rev and git_address.COMMIT.fullmatch(table.rev) else None
    commit = before.hash if before else stated
    if before is None or not isinstance(before.size, int) or (stated and stated != commit):
        making.require_pin(f"`{name}`")
        commit, path = tree.newest() if stated is None else (stated, tree.path(stated, making.progress))
        before = LockedInput(
            kind=_KIND,
            name=name,
            url=redact_repository(table.git or ""),
            hash=commit,
            size=size_of(tree_files(path)),
        )
    pinned = before.hash
    if not git_address.COMMIT.fullmatch(pinned):
        message = f"`{printable(pinned)}` in .flox/image.lock is not the commit of `{name}`"
        raise ImageError(message, hint="esker image build --upgrade")
    return Source(
        before,
        json.dumps([_KIND, _RECIPE, pinned, table.directory]),
        pinned[:_SHOWN],
        lambda: tree_files(tree.path(pinned)),
        lambda unit: [_component(unit, before)],
    )


def _component(unit: str, locked: LockedInput) -> Component:
    name = posixpath.basename(urlsplit(locked.url).path or locked.url).removesuffix(".git")
    qualifiers = {"vcs_url": f"git+{locked.url}@{locked.hash}"}
    return Component(unit, name or "repository", locked.hash, None, "generic", qualifiers)


def _is_no_name(text: str) -> bool:
    return text in {"", ".", ".."} or text.lower() == ".git" or len(os.fsencode(text)) > _LONGEST_NAME


class _Tree:
    """The tree of an entry, at whichever commit."""

    def __init__(self, making: Making, table: PreparedTable) -> None:
        self._making = making
        self._table = table
        place = table.git or ""
        if git_address.is_local(place):
            place = os.path.normpath(os.path.join(making.declaration.project, place))
        self._place = place
        self._shown = redact_repository(place)

    def newest(self) -> tuple[str, str]:
        """Return the commit that the entry's revision names now, and its tree in the store."""
        with scratch("git") as top, reporting(self._making.progress) as progress:
            progress.begin(f"Fetching {self._shown}")
            commit = self._fetched(self._table.rev, f"{top}/repository")
            path = self._built(commit, lambda: f"{top}/repository")
            progress.finish(f"{self._shown} at {commit[:_SHOWN]}, for the image")
        return commit, path

    def path(self, commit: str, progress: Progress | None = None) -> str:
        """Return the tree of a commit in the store, which is fetched if it is not there."""
        with scratch("git") as top, reporting(progress) as listener:

            def repository() -> str:
                listener.begin(f"Fetching {self._shown}")
                found = self._fetched(commit, f"{top}/repository")
                if found != commit:
                    raise ImageError(f"`{self._shown}` gave commit {found}, and {commit} is locked", hint=_ANOTHER)
                listener.finish(f"{self._shown} at {commit[:_SHOWN]}, for the image")
                return f"{top}/repository"

            return self._built(commit, repository)

    def _fetched(self, revision: str | None, repository: str) -> str:
        settings, project = self._making.settings, self._making.declaration.project
        path = self._place.removeprefix("file://localhost").removeprefix("file://")
        if path.startswith("/") and os.path.exists(path):
            trust.check_contents(project, settings, [os.path.realpath(path)])
        try:
            return fetched_commit(self._place, revision, settings.tools, repository=repository)
        except CommandFailed as failure:
            told = failure.output.splitlines()  # git's last lines are advice
            last = next((line for line in told if line.startswith("fatal:")), None) or (told or ["it is not there"])[-1]
            hint = "check the address, the revision, and your access to the repository"
            what = f"`{revision or 'HEAD'}`"
            if revision is not None and git_address.COMMIT.fullmatch(revision) and revision != self._table.rev:
                what += f", to which .flox/image.lock pins `{self._table.rev or 'HEAD'}`,"
                hint = (
                    "check your access to the repository; if the commit was replaced there, take what the repository "
                    "has now: esker image build --upgrade"
                )
            raise ImageError(f"{what} of `{self._shown}` could not be fetched: {last}", hint=hint) from failure

    def _built(self, commit: str, repository: Callable[[], str]) -> str:
        key = [_RECIPE, commit, self._table.directory]

        def fill(target: str) -> None:
            self._fill(target, repository(), commit)

        return self._making.store.build("git-tree", "git-tree:" + json.dumps(key), fill)

    def _fill(self, target: str, repository: str, commit: str) -> None:
        variables, directory = self._making.settings.tools, self._table.directory or ""
        try:
            entries = tree_entries(repository, commit, directory, variables)
        except CommandFailed as failure:
            message = f"`{self._shown}` has no directory `{directory}` at commit {commit[:_SHOWN]}"
            raise ImageError(message, hint="correct `directory`, or leave it out") from failure
        self._check(entries)
        for entry in (each for each in entries if each.size > TOGETHER):
            path = f"{target}/{entry.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_content(repository, entry, variables, path)
            os.chmod(path, _MODES[entry.mode])
        small = [each for each in entries if each.size <= TOGETHER]
        for entry, content in contents_of(repository, small, variables):
            path = f"{target}/{entry.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if entry.mode == _LINK:
                os.symlink(self._link(entry, content), path)
                continue
            if len(content) < _LARGEST_POINTER and content.startswith(_POINTER):
                raise self._refused(entry, "is a pointer of git LFS, not the file itself", _OF_LFS)
            with open(path, "xb") as file:
                file.write(content)
            os.chmod(path, _MODES[entry.mode])

    def _check(self, entries: Sequence[TreeEntry]) -> None:
        """Raise ImageError before anything is written, for a tree that is not what a checkout could hold."""
        size, largest = sum(entry.size for entry in entries), self._making.settings.largest_wheel
        if len(entries) > _MOST_FILES or size > largest:
            raise ImageError(
                f"`{self._shown}` is too large for an image: {counted(len(entries), 'file')}, {counted(size, 'byte')}",
                hint="name a directory of it in `directory`, or raise ESKER_LARGEST_WHEEL",
            )
        taken: set[str] = set()
        above: set[str] = set()
        for entry in entries:
            names = entry.path.split("/")
            if any(map(_is_no_name, names)) or len(os.fsencode(entry.path)) > _LONGEST_PATH:
                raise self._refused(entry, "is no name that a file may have", _ASK)
            if entry.mode == _SUBMODULE:
                raise self._refused(entry, "is a submodule, whose files are in another repository", _OF_SUBMODULES)
            if entry.mode not in {*_MODES, _LINK} or (entry.mode == _LINK and entry.size >= _LONGEST_PATH):
                raise self._refused(entry, f"is of the kind {entry.mode}, with {counted(entry.size, 'byte')}", _ASK)
            if entry.path in taken:
                raise self._refused(entry, "is there twice", _ASK)
            taken.add(entry.path)
            above |= {"/".join(names[:end]) for end in range(1, len(names))}
        for entry in entries:
            if entry.path in above:
                raise self._refused(entry, "is a file and a directory", _ASK)

    def _link(self, entry: TreeEntry, content: bytes) -> str:
        target = os.fsdecode(content)
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target))
        if not target or target.startswith("/") or "\0" in target:
            leads = ".."
        if leads == ".." or leads.startswith("../"):
            message = f"is a link that leads out, to `{printable(target)}`"
            raise self._refused(entry, message, "name a directory that has what it leads to, or leave it out")
        return target

    def _refused(self, entry: TreeEntry, message: str, hint: str) -> ImageError:
        return ImageError(f"`{printable(entry.path)}` in `{self._shown}` {message}", hint=hint)


_ASK = "ask those who keep the repository to mend it, or name another directory of it in `directory`"
_ANOTHER = "do not use that repository; if it was meant to change: esker image build --upgrade"
_OF_LFS = "name another directory in `directory`, and take the file itself by `file` with its address"
_OF_SUBMODULES = "name another directory in `directory`, and prepare the other repository at a place of its own"
