"""The project's own files in an image: those of the declared paths that git tracks, as the working tree has them.

What git does not track never enters, so that a secret in an ignored file, a cache or an editor's backup stays here.
What it does not ignore either is told: somebody may have forgotten to add it. Nor does anything below a `.flox` enter:
locks say what an image is, so an image cannot hold them. A link that leads out of the declared place is refused, and so
is a submodule.

A path may lead to another directory of the repository, so that several environments can make images of one project. In
the image it has its place without the leading `..`.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, ImageError
from esker.formats.printable import printable
from esker.formats.tables.reader import near
from esker.host import files
from esker.host.git import run_git
from esker.ship.image.unit import File, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.ship.image.unit import Entry

__all__ = ["ProjectFiles", "how_to_track", "in_image", "project_files", "tracked_files"]

_PATTERN = re.compile(r"[*?\[]")
_OF_ANOTHER = "dubious ownership"
"""What git says, in its own language, of a repository whose files another user may have written."""
_FILE, _PROGRAM, _LINK, _SUBMODULE = "100644", "100755", "120000", "160000"


class ProjectFiles(NamedTuple):
    """What of the project enters an image."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    """Paths below the declared ones that git neither tracks nor ignores; a directory stands for all below it."""


def project_files(project: str, declared: Mapping[str, Sequence[str]], variables: Mapping[str, str]) -> ProjectFiles:
    """Return the entries for the declared files; raises ImageError for what cannot or may not enter."""
    entries: dict[str, Entry] = {}
    sources: dict[str, str] = {}
    left_out: list[str] = []
    for place, paths in declared.items():
        for path in paths:
            tracked = tracked_files(project, path, variables)
            if _is_flox(os.fsencode(path)):
                raise ImageError(
                    f"`{path}` never enters an image: locks say what an image is, so none can hold them",
                    hint="take it out of `files` of [plugins.esker.image]",
                )
            if not tracked:
                raise ImageError(
                    f"git tracks no file `{path}`, which `files` of [plugins.esker.image] names",
                    hint=how_to_track(project, path),
                )
            for name, mode in tracked.items():
                target = f"{place}/{in_image(name)}"
                if sources.setdefault(target, name) != name:
                    raise ImageError(
                        f"`{sources[target]}` and `{name}` would both be `{target}` in the image",
                        hint="put one of them into another place in `files` of [plugins.esker.image]",
                    )
                entries[target] = _entry(project, name, mode, target, place)
            left_out += _untracked(project, path, variables)
    return ProjectFiles(tuple(entries.values()), tuple(dict.fromkeys(left_out)))


def how_to_track(project: str, path: str) -> str:
    """Return the advice for a declared path of which git tracks nothing."""
    if os.path.lexists(f"{project}/{path}"):
        return f"add it: git add {path}"
    if _PATTERN.search(path):
        return "patterns are not taken: write the name of each file, or of the directory that holds them"
    directory, name = os.path.split(path)
    try:
        beside = os.listdir(f"{project}/{directory}")
    except OSError:
        beside = []
    return near(name, [printable(each) for each in beside]) or "correct its name"


def in_image(name: str) -> str:
    """Return where a path of the project lies below its place in the image.

    >>> in_image("src/a"), in_image("../../src/a")
    ('src/a', 'src/a')
    """
    while name.startswith("../"):
        name = name.removeprefix("../")
    return name


def tracked_files(project: str, path: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what git tracks at a path of the project: paths relative to the project, each with git's mode."""
    try:
        listed = run_git(["ls-files", "--stage", "-z", "--", _literal(path)], variables, cwd=project)
    except CommandFailed as failure:
        if _is_repository(project, variables):
            raise ImageError(
                f"`{path}` is not in the project's git repository, from which alone an image gets files",
                hint="name another path in [plugins.esker.image]",
            ) from failure
        if _OF_ANOTHER in failure.output:
            raise ImageError(
                f"git reads nothing of `{project}`, because its repository belongs to another user than this process: "
                "only what git tracks enters an image",
                hint="run esker as that user; or if you trust the repository, tell git so: git config --global --add "
                "safe.directory PATH, with the PATH that `git status` names there",
            ) from failure
        raise ImageError(
            f"`{project}` is no git repository: only what git tracks enters an image",
            hint="make it one: git init && git add --all",
        ) from failure
    found = {}
    for line in listed.split(b"\0")[:-1]:
        described, _, name = line.partition(b"\t")
        if not _is_flox(name):
            found[os.fsdecode(name)] = described[:6].decode()
    return found


def _is_repository(project: str, variables: Mapping[str, str]) -> bool:
    try:
        return run_git(["rev-parse", "--is-inside-work-tree"], variables, cwd=project).strip() == b"true"
    except CommandFailed:
        return False


def _untracked(project: str, path: str, variables: Mapping[str, str]) -> Iterator[str]:
    words = ["ls-files", "--others", "--directory", "--no-empty-directory", "--exclude-standard", "-z"]
    words += ["--", _literal(path)]
    for name in run_git(words, variables, cwd=project).split(b"\0")[:-1]:
        if not _is_flox(name):
            yield os.fsdecode(name)


def _is_flox(name: bytes) -> bool:
    return b".flox" in name.split(b"/")


def _literal(path: str) -> str:
    return f":(literal){path}" if path != "." else "."


def _entry(project: str, name: str, mode: str, target: str, place: str) -> Entry:
    path = f"{project}/{name}"
    if mode == _SUBMODULE:
        raise ImageError(
            f"`{name}` is a submodule, whose files this repository does not track",
            hint="name other paths in `files` of [plugins.esker.image]",
        )
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"git tracks `{name}`, but it is gone", hint=f"git rm {name}, or restore it") from error
    except PermissionError:
        with files.refused("read", path, ImageError):
            raise
    expected = os.path.normpath(os.path.join(os.path.realpath(project), os.path.dirname(name)))
    if os.path.realpath(os.path.dirname(path)) != expected:
        raise ImageError(f"a directory above `{name}` has become a link", hint=f"git status {os.path.dirname(name)}")
    if stat.S_ISLNK(status.st_mode):
        leads = os.readlink(path)
        to = posixpath.normpath(posixpath.join(posixpath.dirname(target), leads))
        if leads.startswith("/") or not f"{to}/".startswith(f"{place}/"):
            raise ImageError(
                f"the link `{name}` leads out of `{place}`, to `{printable(leads)}`",
                hint="make it a relative link within the declared files, or take it out",
            )
        return SymbolicLink(target, leads)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"`{name}` is no regular file, as git tracks it", hint=f"restore it: git checkout -- {name}")
    return File(target, path, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
