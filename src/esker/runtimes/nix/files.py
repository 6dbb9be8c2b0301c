"""The files that decide about what Nix gives: those of flakes and of a shell.nix, of NIX_PATH, and Nix's settings."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, NotFound
from esker.host import files as host_files
from esker.host.git import run_git
from esker.runtimes.foreign.tool import MOST_FILES
from esker.runtimes.foreign.watched import directories_of, matches, walked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Tree", "configuration", "directory_tree", "flake_tree", "links_on_the_way", "nix_files", "search_path"]

_STORE = "/nix/store/"
_REVISION = re.compile(
    rb"\b(?:rev|shortRev|dirtyRev|dirtyShortRev|revCount|lastModified|lastModifiedDate|sourceInfo)\b"
)
"""What a flake may ask about its own repository besides the files."""
_LARGEST = 1 << 20
_MOST_LINKS = 40

_MISSING = re.compile(r"/[0-9a-z]{32}-source/([^'\"\n]+)'(?:: No such file or directory| does not exist)")
"""A file that Nix looks for in its copy of a repository."""


class Tree(NamedTuple):
    """The files of a source tree."""

    files: tuple[str, ...] = ()
    """Those whose content decides."""
    signs: tuple[str, ...] = ()
    """What changes whenever the list of the files may have."""
    revision: str = ""
    """The commit, if a file asks for it."""
    listed: str = ""
    """A hash of the names that git tracks: a file that was only watched so far may be one of them now."""
    left_out: int = 0
    """How many files do not count, because there are too many."""


def untracked(project: str, variables: Mapping[str, str], said: str) -> str | None:
    """Return the file that Nix misses in the flake `project` because git does not track it, absolute; None without one.

    `said` is what Nix has written.
    """
    top = project
    while not os.path.lexists(f"{top}/.git"):
        if top == os.path.dirname(top):
            return None
        top = os.path.dirname(top)
    missing = [f"{top}/{name}" for name in _MISSING.findall(said)]
    missing = [path for path in missing if os.path.lexists(path)]
    tracked = {*flake_tree(project, variables).files} if missing else set()
    return next((path for path in missing if path not in tracked), None)


def flake_tree(directory: str, variables: Mapping[str, str], watch: Sequence[str] = ()) -> Tree:
    """Return the files of a flake: those that git tracks, or all of a directory that is in no repository.

    Above `MOST_FILES` only the `*.nix`, the locks and what the patterns `watch` match count.
    """
    try:
        words = ["rev-parse", "--show-toplevel", *(word for name in _SIGNS for word in ("--git-path", name))]
        top, *signs = os.fsdecode(run_git(words, variables, cwd=directory)).splitlines()
        listed = os.fsdecode(run_git(["ls-files", "-z", "--full-name", "--", top], variables, cwd=directory))
    except (CommandFailed, NotFound, ValueError):  # no repository, or no git
        return directory_tree(directory, watch)
    files = [f"{top}/{name}" for name in listed.split("\0")[:-1]]
    tracked = _counted(files)
    counted = list(dict.fromkeys((*tracked, *matches(directory, watch))))
    listed = hashlib.blake2b(os.fsencode("\0".join(tracked)), digest_size=8).hexdigest()
    revision = ""
    if any(map(_asks_for_revision, counted)):
        with suppress(CommandFailed):  # no commit yet
            revision = run_git(["rev-parse", "HEAD"], variables, cwd=directory).decode().strip()
            # A change in any file makes the revision that of a dirty tree; the files themselves are told apart anyway.
    signs = [os.path.join(directory, sign) for sign in signs]
    signs += directories_of(directory, watch)
    return Tree(tuple(counted), tuple(signs), revision, listed, len(files) - len(tracked))


_SIGNS = ("index", "HEAD", "logs/HEAD")


def directory_tree(directory: str, watch: Sequence[str] = ()) -> Tree:
    """Return all files of a directory, or if there are too many, those that count in a large flake."""
    files, directories = walked(directory, hidden=True)
    counted = _counted(files)
    return Tree(
        tuple(dict.fromkeys((*counted, *matches(directory, watch)))),
        (*directories, *directories_of(directory, watch)),
        left_out=len(files) - len(counted),
    )


def nix_files(directory: str, watch: Sequence[str] = ()) -> Tree:
    """Return the `*.nix` below a directory, and what the patterns match."""
    files, directories = walked(directory, hidden=False)
    found = [path for path in files if path.endswith(".nix")]
    return Tree(
        tuple(dict.fromkeys((*found, *matches(directory, watch)))),
        (*directories, *directories_of(directory, watch)),
    )


def _counted(files: list[str]) -> list[str]:
    """Return the files that count even if nothing says that they are to be watched."""
    if len(files) <= MOST_FILES:
        return files
    return [path for path in files if path.endswith((".nix", ".lock"))]


def _asks_for_revision(path: str) -> bool:
    if not path.endswith(".nix"):
        return False
    with suppress(OSError), open(path, "rb", opener=host_files.plain) as file:
        return _REVISION.search(file.read(_LARGEST)) is not None
    return False


def search_path(variables: Mapping[str, str], home: str) -> tuple[tuple[str, ...], Tree]:
    """Return where the entries of NIX_PATH lead, and the files that decide about those outside of Nix's store."""
    value = variables.get("NIX_PATH")
    entries = _entries(value) if value is not None else _default_entries(home)
    words, files, signs = [], list[str](), list[str]()
    for entry in entries:
        path = entry.partition("=")[2] or entry
        if not path.startswith("/"):  # an address, which only Nix can follow
            words.append(entry)
            continue
        target = os.path.realpath(path)
        words.append(f"{entry} {target}")
        signs += links_on_the_way(path)
        if target.startswith(_STORE):
            continue
        if not os.path.isdir(target):
            files.append(target)
            continue
        tree = nix_files(target)
        files += tree.files
        signs += tree.signs
    return tuple(words), Tree(tuple(files), tuple(signs))


def _entries(value: str) -> list[str]:
    """Return the entries of a NIX_PATH: colons separate them, but for one that is part of an address."""
    entries: list[str] = []
    for part in value.split(":"):
        if entries and (part.startswith("//") or entries[-1].endswith(("flake", "channel"))):
            entries[-1] += f":{part}"
        elif part:
            entries.append(part)
    return entries


def _default_entries(home: str) -> list[str]:
    root = "/nix/var/nix/profiles/per-user/root/channels"
    return [f"{home}/.nix-defexpr/channels", f"nixpkgs={root}/nixpkgs", root]


def links_on_the_way(path: str) -> list[str]:
    """Return every symbolic link that resolving a path goes through, and the path itself."""
    links, rest, part = [path], path.split("/")[1:], ""
    while rest and len(links) < _MOST_LINKS:
        part = f"{part}/{rest.pop(0)}"
        if os.path.islink(part):
            links.append(part)
            target = os.readlink(part)
            above = "" if target.startswith("/") else os.path.dirname(part)
            rest = os.path.normpath(f"{above}/{target}").split("/")[1:] + rest
            part = ""
    return links


def configuration(variables: Mapping[str, str], home: str) -> list[str]:
    """Return the files with Nix's settings and its flake registries, whether or not they are there."""
    system = variables.get("NIX_CONF_DIR") or "/etc/nix"
    own = f"{variables.get('XDG_CONFIG_HOME') or f'{home}/.config'}/nix"
    shared = (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    named = variables.get("NIX_USER_CONF_FILES")
    users = named.split(":") if named else [f"{own}/nix.conf", *(f"{directory}/nix/nix.conf" for directory in shared)]
    paths = [f"{system}/nix.conf", *users]
    included = [path for each in paths for path in _included(each)]
    registries = [f"{system}/registry.json", f"{own}/registry.json"]
    return list(dict.fromkeys((*paths, *included, *registries)))


def _included(path: str) -> Iterable[str]:
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        for line in file:
            word, _, name = line.strip().partition(" ")
            if word in {"include", "!include"}:
                yield os.path.normpath(os.path.join(os.path.dirname(path), name.strip()))
