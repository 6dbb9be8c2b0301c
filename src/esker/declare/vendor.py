"""Environments of git repositories that a project keeps a copy of: `.flox/include/NAME`, with its origin beside it.

The copy is the environment alone: `.flox/env.json`, `.flox/env` and `.flox/include` of a directory of the repository.
It is read from git's objects, and never checked out. A link or a submodule in it would lead elsewhere, and is refused.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import notations, project_directory, trust
from esker.errors import AlreadyExists, CommandFailed, HostError, IncludeError, InvalidFile, UsageError
from esker.formats import git_address, vendored
from esker.formats.counted import counted
from esker.formats.tables.reader import Refusal
from esker.formats.toml_values import string
from esker.formats.untrusted import LARGEST_MANIFEST, json_value
from esker.formats.urls import redact_repository
from esker.formats.vendored import Origin
from esker.host import files, trees
from esker.host.git import fetched_commit, run_git, tree_entries
from esker.host.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.formats.git_address import Address
    from esker.host.git import TreeEntry
    from esker.settings import Settings

__all__ = ["Copy", "copied", "fetched", "included_as", "is_as_fetched", "name_of", "origin_of"]

_TAKEN = ("env.json", "env", "include")
"""What of `.flox` makes an environment."""
_NO_REVISION = "it has no such branch, tag or commit"
_KINDS = {"100644": 0o644, "100755": 0o755}
_NAMES = {"120000": "a symbolic link", "160000": "a submodule"}
_MOST_FILES = 500
_LARGEST = 32 << 20
"""Bytes of all files of a copy together."""


class Copy(NamedTuple):
    """An environment that was fetched."""

    origin: Origin
    files: Mapping[str, tuple[bytes, int]]
    """Content and mode of each file, by its path below `.flox`."""


def fetched(address: Address, project: str, settings: Settings) -> Copy:
    """Fetch an environment for `project`, to which the path of a repository is relative.

    Raises IncludeError if there is none, or none that may be copied, and NotTrusted for a repository on this machine
    that another user can change.
    """
    place = address.repository
    if git_address.is_local(place):
        place = os.path.normpath(os.path.join(project, place))
    path = place.removeprefix("file://localhost").removeprefix("file://")
    if path.startswith("/") and os.path.exists(path):
        trust.check_contents(project, settings, [os.path.realpath(path)])
    shown = redact_repository(place)
    if git_address.is_local(address.repository):
        _check_local(place, address, shown)
    with scratch("include") as top:
        repository = f"{top}/repository"
        try:
            commit = fetched_commit(place, address.revision, settings.tools, repository=repository)
        except CommandFailed as failure:
            told = failure.output.splitlines()  # git's last lines are advice
            last = next((line for line in told if line.startswith("fatal:")), None) or (told or [_NO_REVISION])[-1]
            raise IncludeError(
                f"`{address.revision or 'HEAD'}` of `{shown}` could not be fetched: {last}",
                hint="check the address, the revision, and your access to the repository",
            ) from failure
        dot_flox = f"{address.directory}/.flox" if address.directory else ".flox"
        try:
            entries = tree_entries(repository, commit, dot_flox, settings.tools)
        except CommandFailed as failure:
            raise IncludeError(
                f"there is no environment in `{shown}` at commit {commit[:12]}: it has no directory `{dot_flox}`",
                hint="name its directory: URL@REVISION#DIRECTORY",
            ) from failure
        taken = _taken(entries, shown)
        contents = {entry.path: (_content(repository, entry, settings.tools), _KINDS[entry.mode]) for entry in taken}
    origin = Origin(
        repository=address.repository, revision=address.revision, directory=address.directory, commit=commit
    )
    return Copy(origin, contents)


def _check_local(path: str, address: Address, shown: str) -> None:
    """Raise IncludeError for a path of this machine that is nothing, or an environment that no git repository has."""
    if not os.path.lexists(path):
        raise IncludeError(f"there is no `{shown}`", hint="correct the path of the repository")
    within = os.path.join(path, address.directory or "")
    if os.path.isdir(f"{within}/.flox") and not _is_in_repository(path):
        directory = string(os.path.join(address.repository, address.directory or "").rstrip("/"))
        raise IncludeError(
            f"`{shown}` has an environment, but is no git repository",
            hint=f"include it where it lies: environments = [{{ dir = {directory} }}] in [include]",
        )


def _is_in_repository(path: str) -> bool:
    return any(os.path.lexists(f"{path}/{name}") for name in (".git", "HEAD"))


def _content(repository: str, entry: TreeEntry, variables: Mapping[str, str]) -> bytes:
    words = [f"--git-dir={repository}", "cat-file", "blob", entry.hash]
    return run_git(words, variables, cwd=repository, named="cat-file")


def _taken(entries: Sequence[TreeEntry], shown: str) -> list[TreeEntry]:
    """Return the entries that belong to the environment; raises IncludeError for one that may not be copied."""
    taken = [entry for entry in entries if entry.path.split("/")[0] in _TAKEN]
    for entry in taken:
        if entry.mode not in _KINDS:
            kind = _NAMES.get(entry.mode, f"of the kind {entry.mode}")
            raise _refused(f"`.flox/{entry.path}` in `{shown}` is {kind}, which could lead out of the environment")
        names = entry.path.split("/")
        if not entry.path.isprintable() or any(n in {"", ".", ".."} or n.lower() == ".git" for n in names):
            raise _refused(f"`.flox/{entry.path!a}` in `{shown}` is no name that a file may have here")
    paths = {entry.path for entry in taken}
    if missing := sorted({"env.json", "env/manifest.toml", "env/manifest.lock"} - paths):
        hint = "lock it there, and commit .flox/env/manifest.lock" if missing == ["env/manifest.lock"] else None
        raise IncludeError(f"the environment in `{shown}` has no `.flox/{missing[0]}`", hint=hint)
    if len(taken) > _MOST_FILES or sum(entry.size for entry in taken) > _LARGEST:
        raise _refused(
            f"the environment in `{shown}` is too large: {counted(len(taken), 'file')}", "remove what is not of it"
        )
    return taken


def _refused(message: str, hint: str = "have its authors replace it by a plain file") -> IncludeError:
    return IncludeError(message, hint=hint)


def name_of(copy: Copy, wanted: str | None) -> str:
    """Return the name of a copy: `wanted`, or its environment's own; raises UsageError if no directory can have it."""
    name: object = wanted
    if wanted is None:
        try:
            pointer = json_value(copy.files["env.json"][0])
        except ValueError:
            pointer = None
        name = pointer.get("name") if isinstance(pointer, dict) else None
    try:
        text = notations.name_of_environment(name if isinstance(name, str) else "")
    except Refusal as refusal:
        raise UsageError(refusal.message, hint="choose one: esker include add --name NAME …") from None
    if text.startswith((".", "-")) or len(os.fsencode(text)) > 100:  # noqa: PLR2004 - with room for endings
        raise UsageError(f"`{text}` cannot be the name of a directory here", hint="choose one: --name NAME")
    return text


def included_as(name: str) -> str:
    """Return the `dir` by which a project includes its copy of an environment."""
    return f"{vendored.DIRECTORY}/{name}"


def origin_of(project: str, directory: str) -> tuple[str, Origin] | None:
    """Return name and origin of the copy that a project includes by this `dir`; None if that is no copy."""
    above, name = os.path.split(os.path.normpath(directory))
    path = f"{project}/{vendored.DIRECTORY}/{name}.toml"
    if above != vendored.DIRECTORY or not os.path.exists(path):
        return None
    return name, vendored.parse(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST), path)


def is_as_fetched(project: str, name: str, copy: Copy) -> bool:
    """Return whether the files of a copy that is in its place are those that were fetched, and no others."""
    place = f"{project}/{vendored.DIRECTORY}/{name}/.flox"
    pending, same = list(_TAKEN), set()
    try:
        while pending:
            path = pending.pop()
            if not os.path.lexists(f"{place}/{path}"):
                continue
            status = os.lstat(f"{place}/{path}")
            if stat.S_ISDIR(status.st_mode):
                pending += [f"{path}/{entry}" for entry in os.listdir(f"{place}/{path}")]
                continue
            if not stat.S_ISREG(status.st_mode) or path not in copy.files:
                return False
            content, mode = copy.files[path]
            is_same = (status.st_size, status.st_mode & 0o100) == (len(content), mode & 0o100)
            if not is_same or files.read(f"{place}/{path}") != content:
                return False
            same.add(path)
    except (OSError, HostError):
        return False
    return same == copy.files.keys()


def check_free(project: str, name: str, origin: Origin) -> None:
    """Raise AlreadyExists if `.flox/include/NAME` is something else than a copy from the same repository."""
    place = f"{project}/{vendored.DIRECTORY}/{name}"
    present = origin_of(project, included_as(name))
    if os.path.lexists(place) and (
        present is None or (present[1].repository, present[1].directory) != (origin.repository, origin.directory)
    ):
        was = f"it is a copy from `{present[1].repository}`" if present else "and `esker include add` did not make it"
        raise AlreadyExists(f"`{place}` is there already, {was}", hint="choose another name: --name NAME")


@contextmanager
def copied(project: str, name: str, copy: Copy) -> Iterator[None]:
    """Put a copy in its place, with its origin; if the block fails, what was there before is put back."""
    top = f"{project}/{vendored.DIRECTORY}"
    place, fresh, old, origin = f"{top}/{name}", f"{top}/.{name}.new", f"{top}/.{name}.old", f"{top}/{name}.toml"
    check_free(project, name, copy.origin)
    with project_directory.writable(f"{project}/.flox", "include", mode=0o755) as directory:
        with files.refused("write", place):
            before = files.read(origin) if os.path.lexists(origin) else None
            trees.remove_tree(fresh, directory=directory)
            trees.remove_tree(old, directory=directory)
            _write(project, os.path.basename(fresh), copy)
            if os.path.lexists(place):
                os.rename(name, os.path.basename(old), src_dir_fd=directory, dst_dir_fd=directory)
            os.rename(os.path.basename(fresh), name, src_dir_fd=directory, dst_dir_fd=directory)
        try:
            _put(origin, vendored.render(copy.origin).encode(), 0o644, directory)
            yield
        except BaseException:
            with suppress(OSError):
                trees.remove_tree(place, directory=directory)
                if os.path.lexists(old):
                    os.rename(os.path.basename(old), name, src_dir_fd=directory, dst_dir_fd=directory)
                if before is None:
                    os.unlink(os.path.basename(origin), dir_fd=directory)
                else:
                    _put(origin, before, 0o644, directory)
            raise
        with suppress(OSError):
            trees.remove_tree(old, directory=directory)


def _write(project: str, name: str, copy: Copy) -> None:
    for path, (content, mode) in copy.files.items():
        *above, _ = path.split("/")
        names = ("include", name, ".flox", *above)
        with project_directory.opened(f"{project}/.flox", *names, mode=0o755) as directory:
            _put(f"{project}/{vendored.DIRECTORY}/{name}/.flox/{path}", content, mode, directory)


def _put(path: str, content: bytes, mode: int, directory: int) -> None:
    files.write(path, content, mode=mode, directory=directory)
    project_directory.give_file(os.path.basename(path), directory)
