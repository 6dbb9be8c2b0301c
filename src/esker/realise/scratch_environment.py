"""A scratch environment: uv installs wheels into it side by side, and their files are then taken out of it as trees.

Each wheel gets the files that its RECORD lists. Where the RECORDs do not agree with what is there, the wheels are to be
installed alone, in an environment of their own: then all that comes into it is theirs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.realise import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ScratchEnvironment"]

_SEVERAL = ""
"""In the place of an owner's name: what lies in this directory belongs to several."""
_Mark = tuple[int, int, int]


class ScratchEnvironment:
    """The environment that uv has just made at `path`, whose site-packages is `libraries`; nothing is installed yet."""

    def __init__(self, path: str, libraries: str) -> None:
        self.path = path
        self.libraries = f"{path}/{libraries}"
        for entry in (*os.listdir(path), *(f"bin/{name}" for name in os.listdir(f"{path}/bin"))):
            name = os.path.basename(entry)
            # Before packages come, which may bring such names.
            if name in {".gitignore", "CACHEDIR.TAG"} or name.startswith("activate") or name.endswith(".bat"):
                os.unlink(f"{path}/{entry}")
        self._own = {file: _mark(f"{path}/{file}") for file in _files(path)}

    def check_own_files(self) -> None:
        """Raise RealisationFailed if a wheel has replaced a file of the environment: it could name another Python."""
        changed = [file for file, mark in self._own.items() if _mark(f"{self.path}/{file}") != mark]
        if changed:
            owners = [name for name, claimed in self._claims().items() if changed[0] in claimed]
            raise RealisationFailed(
                f"`{(owners or ['a locked package'])[0]}` brings a `{changed[0]}` of its own",
                hint="take that package out",
            )

    def split(self, trees: Mapping[str, str]) -> list[str]:
        """Move the files of each wheel to its tree, and return the names of those that are to be installed alone.

        `trees` are empty directories, by the wheel's normalised name.
        """
        listed = self._claims()
        claims = {name: listed.get(name, set()) for name in trees}
        claimants: dict[str, list[str]] = {}
        for name, claimed in claims.items():
            for file in claimed:
                claimants.setdefault(file, []).append(name)
        found = self._found()
        if any(file not in claimants for file in found):
            return list(trees)
        alone = {name for names in claimants.values() if len(names) > 1 for name in names}
        alone |= {name for name, claimed in claims.items() if not claimed}
        self._move({file: claimants[file][0] for file in found if claimants[file][0] not in alone}, trees)
        return sorted(alone)

    def take_all(self, name: str, tree: str) -> None:
        """Move everything that was installed to the tree of the one wheel."""
        self._move(dict.fromkeys(self._found(), name), {name: tree})

    def _claims(self) -> dict[str, set[str]]:
        """Return what the RECORD of each package lists; a package with several has nothing that we could believe."""
        found = records.infos(self.libraries)
        return {name: records.recorded(infos[0], self.path) for name, infos in found.items() if len(infos) == 1}

    def _found(self) -> list[str]:
        """Return the files that were installed."""
        return [file for file in _files(self.path) if file not in self._own and file != ".lock"]  # uv's

    def _move(self, owners: Mapping[str, str], trees: Mapping[str, str]) -> None:
        """Move files to the trees of their owners, by the highest directory in which all belongs to one."""
        above = _owners_above(
            {**dict.fromkeys(self._found(), _SEVERAL), **dict.fromkeys(self._own, _SEVERAL), **owners}
        )
        moved = set()
        for file, name in owners.items():
            top = file
            while above[os.path.dirname(top)] == name:
                top = os.path.dirname(top)
            if top not in moved:
                moved.add(top)
                destination = f"{trees[name]}/{top}"
                os.makedirs(os.path.dirname(destination), exist_ok=True)
                os.rename(f"{self.path}/{top}", destination)


def _owners_above(owners: Mapping[str, str]) -> dict[str, str]:
    """Return for every directory above the files to whom all the files in it belong."""
    found: dict[str, str] = {}
    for file, owner in owners.items():
        directory = file
        while directory:
            directory = os.path.dirname(directory)
            known = found.get(directory)
            if known in {owner, _SEVERAL}:
                break
            found[directory] = owner if known is None else _SEVERAL
    return found


def _files(top: str, below: str = "") -> Iterator[str]:
    """Yield the path below `top` of everything in it that is no directory."""
    with os.scandir(f"{top}/{below}") as children:
        for child in children:
            if child.is_dir(follow_symlinks=False):
                yield from _files(top, f"{below}{child.name}/")
            else:
                yield f"{below}{child.name}"


def _mark(path: str) -> _Mark:
    status = os.lstat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
