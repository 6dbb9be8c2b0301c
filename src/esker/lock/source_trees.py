"""The code that a package is built from: fetched or copied into a directory of our own, and the hash that names it.

Nothing is built where a person works: a build backend leaves `build/`, objects and metadata beside the code, and two
builds in one directory disturb each other. A copy has what a source distribution would have: in a repository what git
tracks or would track, elsewhere everything but caches and environments. An editable package is the exception, because
what is installed has to lead to the directory itself.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from esker.errors import CommandFailed, HostError, NotFound, RealisationFailed
from esker.formats.toml_values import string
from esker.formats.urls import redact, redact_repository
from esker.host import files
from esker.host.git import run_git
from esker.lock.uv_sources import is_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.pylock import Package

    from esker.formats.pylock import SourceRecord
    from esker.lock.uv_sources import Source

__all__ = ["SourceTree", "commit_tree", "fetch", "identity", "source_places", "source_tree"]

_LEFT_OUT = {
    ".eggs",
    ".git",
    ".hg",
    ".hypothesis",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
}
_LEFT_OUT_ON_TOP = frozenset({"build", "dist", "venv"})
_LOCAL = "file"


class SourceTree(NamedTuple):
    """Where the code of one locked package lies, and what it was when it was locked."""

    name: str
    kind: Literal["git", "directory", "archive"]
    address: str
    """A URL, which may hold credentials, or an absolute path."""
    commit: str = ""
    """Of a repository, in hexadecimal."""
    tree: str = ""
    """The hash of the commit's tree; empty until it has been fetched for the first time."""
    hashes: Mapping[str, str] = {}
    """Of an archive, by algorithm."""
    subdirectory: str = ""
    editable: bool = False
    build_requirements: tuple[str, ...] = ()
    """Lines as in a requirements.txt, each with the hashes of its wheels."""

    size: int | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether there is nothing to build."""
        return self.kind == "archive" and is_wheel(self.address)

    def fingerprint(self, variables: Mapping[str, str]) -> list[object]:
        """Return what decides which wheel is built from the code, besides the interpreter."""
        if self.kind == "git":
            return ["git", self.commit, self.tree, self.subdirectory]
        if self.kind == "archive":
            return ["archive", sorted(self.hashes.items()), self.subdirectory]
        return ["directory", _digest(self.address, variables)]


def source_tree(
    package: Package, records: Mapping[str, SourceRecord], sources: Sequence[Source], directory: str
) -> SourceTree | None:
    """Return the source of a locked package, or None if it comes from an index.

    `records` are what the lock in `directory` says of packages built from source. Credentials are not in a lock: they
    are taken from `sources`, where an address is declared that differs in nothing else.
    """
    record = records.get(identity(package))
    locked = record.build_requirements if record else ()
    if package.vcs is not None:
        vcs = package.vcs
        return SourceTree(
            name=package.name,
            kind="git",
            address=_declared(vcs.url, sources) or os.path.join(directory, vcs.path or ""),
            commit=vcs.commit_id,
            tree=record.tree if record else "",
            subdirectory=vcs.subdirectory or "",
            build_requirements=locked,
        )
    if package.directory is not None:
        place = os.path.normpath(os.path.join(directory, package.directory.path, package.directory.subdirectory or ""))
        editable = bool(package.directory.editable)
        return SourceTree(package.name, "directory", place, editable=editable, build_requirements=locked)
    if package.archive is not None:
        archive = package.archive
        return SourceTree(
            name=package.name,
            kind="archive",
            address=_declared(archive.url, sources) or os.path.normpath(os.path.join(directory, archive.path or "")),
            hashes=archive.hashes,
            subdirectory=archive.subdirectory or "",
            build_requirements=locked,
        )
    return None


def identity(package: Package) -> str:
    """Return what tells a package apart from others of its name, which are for other systems; empty for an index."""
    if package.vcs is not None:
        return f"{package.name} {package.vcs.commit_id} {package.vcs.subdirectory or ''}".rstrip()
    if package.directory is not None:
        return f"{package.name} {package.directory.path}"
    if package.archive is not None:
        return f"{package.name} {redact(package.archive.url or '') or package.archive.path}"
    return ""


def _declared(url: str | None, sources: Sequence[Source]) -> str | None:
    """Return the declared address that is `url` but for its credentials, else `url` itself."""
    for source in sources:
        address = source.address.partition("#")[0]
        if url is not None and redact_repository(address) == redact_repository(url):
            return address
    return url


def source_places(sources: Iterable[SourceTree]) -> list[str]:
    """Return the paths on this machine that sources are read from, if they are there."""
    places = [source.address for source in sources if "://" not in source.address]
    return [path for path in dict.fromkeys(places) if os.path.lexists(path)]


def fetch(source: SourceTree, target: str, variables: Mapping[str, str]) -> str:
    """Put the code into `target`, a new directory, and return the directory to build in, which lies in `target`."""
    os.mkdir(target)
    if source.kind == "git":
        _check_out(source, target, variables)
    elif source.kind == "archive":
        target = _unpack(source, target)
    else:
        _copy(source, target, variables)
    directory = os.path.join(target, source.subdirectory) if source.subdirectory else target
    if not os.path.realpath(directory).startswith(os.path.realpath(target)) or not os.path.isdir(directory):
        raise RealisationFailed(f"`{source.name}` has no directory `{source.subdirectory}`", hint="mend `subdirectory`")
    return directory


def commit_tree(directory: str, variables: Mapping[str, str]) -> str:
    """Return the hash of the tree of the commit that is checked out in `directory`."""
    return run_git(["rev-parse", "--verify", "HEAD^{tree}"], variables, cwd=directory).decode().strip()


def _check_out(source: SourceTree, target: str, variables: Mapping[str, str]) -> None:
    def git(*arguments: str) -> None:
        run_git(arguments, variables, cwd=target, fetches=True)

    try:
        git("init", "--quiet")
        with open(f"{target}/.git/config", "a", encoding="utf-8") as file:
            # Not as an argument: everybody on this machine can read the arguments of a process.
            file.write(f'[remote "origin"]\n\turl = {string(source.address)}\n')
        try:
            git("fetch", "--quiet", "--tags", "--force", "origin", source.commit)
        except CommandFailed:  # a server may refuse to give a commit by its hash
            everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
            git("fetch", "--quiet", "--force", "origin", *everything)
        git("checkout", "--quiet", "--detach", source.commit)
        if os.path.isfile(f"{target}/.gitmodules"):
            git("submodule", "--quiet", "update", "--init", "--recursive")
    except CommandFailed as failure:
        raise RealisationFailed(
            f"commit `{source.commit}` of `{source.name}` could not be fetched from "
            f"`{redact_repository(source.address)}`: {failure.output.rpartition(chr(10))[2]}",
            hint=f"check the address and your access to it; if the commit is gone: esker upgrade {source.name}",
        ) from failure
    tree = commit_tree(target, variables)
    if source.tree and tree != source.tree:
        raise RealisationFailed(
            f"commit `{source.commit}` of `{source.name}` has the tree `{tree}`, but `{source.tree}` is locked",
            hint="do not use that repository; if you edited the lock: esker lock --upgrade",
        )


def _unpack(source: SourceTree, target: str) -> str:
    """Unpack an archive whose hash is the locked one, and return the directory that it holds."""
    # These take long to import, and few projects have such a source.
    import tarfile
    import zipfile

    from esker.host.download import download

    archive = f"{target}/{os.path.basename(unquote(urlsplit(source.address).path))}"
    place = urlsplit(source.address)
    if "://" in source.address and place.scheme != _LOCAL:
        download(source.address, archive)
    else:
        path = unquote(place.path) if place.scheme == _LOCAL else source.address
        with files.refused("read", path):
            shutil.copyfile(path, archive)
    check_hashes(source, archive)
    inner = f"{target}/unpacked"
    os.mkdir(inner)
    try:
        for name, content in _members(archive):
            path = os.path.normpath(os.path.join(inner, name))
            if not path.startswith(f"{inner}/"):
                raise RealisationFailed(f"`{source.name}` has a file outside of its archive: `{name}`")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content())
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise RealisationFailed(f"`{redact(source.address)}` could not be unpacked: {error}") from error
    tops = os.listdir(inner)
    return f"{inner}/{tops[0]}" if len(tops) == 1 and os.path.isdir(f"{inner}/{tops[0]}") else inner


def check_hashes(source: SourceTree, path: str) -> None:
    """Raise RealisationFailed unless the file at `path` has the locked hashes of an archive."""
    import hashlib

    known = {kind: value for kind, value in source.hashes.items() if kind in {"sha256", "sha384", "sha512"}}
    with open(path, "rb") as file:
        content = file.read()
    different = {kind: hashlib.new(kind, content).hexdigest() for kind in known}
    if not known or different != known:
        raise RealisationFailed(
            f"`{redact(source.address)}` is not the locked file: it has {different or 'no SHA-2 hash'}",
            hint="do not use that file; if its author replaced it on purpose: esker lock --upgrade",
        )


def _members(archive: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield name and content of the regular files in an archive; links lead nowhere in a source distribution."""
    import tarfile
    import zipfile

    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as members:
            for entry in members.infolist():
                if not entry.is_dir():
                    yield entry.filename, lambda entry=entry: members.read(entry)  # type: ignore[misc]
        return
    with tarfile.open(archive) as members:
        for member in members:
            opened = members.extractfile(member) if member.isfile() else None
            if opened is not None:
                yield member.name, opened.read


def _copy(source: SourceTree, target: str, variables: Mapping[str, str]) -> None:
    before = _digest(source.address, variables)
    with files.refused("copy", source.address):
        for name in _names(source.address, variables):
            path, copy = f"{source.address}/{name}", f"{target}/{name}"
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            if os.path.islink(path) and os.path.realpath(path).startswith(f"{os.path.realpath(source.address)}/"):
                os.symlink(os.readlink(path), copy)
            elif os.path.isfile(path):
                shutil.copy(path, copy)
    if _digest(source.address, variables) != before:
        raise RealisationFailed(f"`{source.address}` was changed while it was copied", hint="run the command again")
    with suppress(CommandFailed, NotFound):
        if _top_level(source.address, variables) == os.path.realpath(source.address):
            # Without it, what takes its version from tags of git would find none.
            git = run_git(["rev-parse", "--absolute-git-dir"], variables, cwd=source.address).decode().strip()
            with open(f"{target}/.git", "w", encoding="utf-8") as file:
                file.write(f"gitdir: {git}\n")


def _digest(directory: str, variables: Mapping[str, str]) -> str:
    """Return a hash over the names, contents and modes of the files that a build gets, and over the commit."""
    total = sha256()
    with files.refused("read", directory):
        for name in _names(directory, variables):
            path = f"{directory}/{name}"
            status = os.stat(path)
            with open(path, "rb") as file:
                content = sha256(file.read()).hexdigest()
            total.update(f"{name}\0{bool(status.st_mode & stat.S_IXUSR)}\0{content}\n".encode(errors="surrogateescape"))
    with suppress(CommandFailed, NotFound):
        if _top_level(directory, variables) == os.path.realpath(directory):
            total.update(run_git(["describe", "--always", "--tags", "--long"], variables, cwd=directory))
    return total.hexdigest()


def _names(directory: str, variables: Mapping[str, str]) -> list[str]:
    """Return the relative paths of the files that a build gets, sorted."""
    try:
        listed = run_git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"], variables, cwd=directory)
    except (CommandFailed, NotFound, HostError):
        return sorted(_walked(directory))
    names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
    return sorted(name for name in names if os.path.isfile(f"{directory}/{name}"))


def _walked(directory: str) -> Iterator[str]:
    for above, directories, names in os.walk(directory):
        directories[:] = [
            name
            for name in directories
            if name not in _LEFT_OUT
            and not (above == directory and name in _LEFT_OUT_ON_TOP)
            and not name.endswith(".egg-info")
            and not os.path.exists(f"{above}/{name}/pyvenv.cfg")
        ]
        for name in names:
            path = f"{above}/{name}"
            if os.path.isfile(path) and not name.endswith(".pyc"):
                yield os.path.relpath(path, directory)


def _top_level(directory: str, variables: Mapping[str, str]) -> str:
    return os.path.realpath(run_git(["rev-parse", "--show-toplevel"], variables, cwd=directory).decode().rstrip("\n"))
