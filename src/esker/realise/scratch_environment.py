"""A scratch environment: uv installs wheels into it side by side, and their files are then taken out of it as trees.

Each wheel gets the files that its RECORD lists. If the RECORDs do not agree with what is there, a wheel may have
written over files of another one, which would then be in that one's store path, for all environments. Such wheels are
installed alone, in an environment of their own: then all that comes into it is theirs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.host import trees as host_trees
from esker.realise import records

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
        self._known: Mapping[str, Sequence[str]] | None = None
        self._own = {file: _mark(f"{path}/{file}") for file in host_trees.files_below(path)}

    def check_own_files(self) -> None:
        """Raise RealisationFailed if a wheel has replaced a file of the environment: it could name another Python."""
        changed = [file for file, mark in self._own.items() if _mark(f"{self.path}/{file}") != mark]
        if changed:
            owners = [name for name in self._infos() if changed[0] in self._claims(name)]
            raise RealisationFailed(
                f"`{(owners or ['a locked package'])[0]}` brings a `{changed[0]}` of its own",
                hint="take that package out",
            )

    def split(self, trees: Mapping[str, str]) -> Collection[str]:
        """Move the files of each wheel to its tree, unless it cannot be told whose they are.

        `trees` are empty directories, by the wheel's normalised name. If a wheel has written over files of another one,
        over its list of files too, nothing is moved and the names of the wheels under suspicion are returned.

        uv writes the RECORD of a wheel after its files. So what has written over a RECORD is told by one that was
        written later, and the last one tells the truth: if all agree with what is here, and each has its own RECORD in
        it, all tell the truth.
        """
        claims = {name: self._claims(name) for name in trees}
        claimants: dict[str, list[str]] = {}
        for name, claimed in claims.items():
            for file in claimed:
                claimants.setdefault(file, []).append(name)
        found = self._found()
        there = set(found)
        suspects = {name for file, names in claimants.items() if len(names) > 1 or file not in there for name in names}
        suspects |= {name for name, claimed in claims.items() if not claimed}
        if suspects or any(file not in claimants for file in found):
            return suspects or {*trees}
        self._move({file: claimants[file][0] for file in found}, trees)
        return ()

    def take_all(self, name: str, tree: str) -> None:
        """Move everything that was installed to the tree of the one wheel."""
        self._move(dict.fromkeys(self._found(), name), {name: tree})

    def _claims(self, name: str) -> set[str]:
        """Return what the RECORD of a wheel lists; nothing if there are two of them, or if it does not list itself."""
        infos = self._infos().get(name, ())
        if len(infos) != 1:
            return set()
        claimed = records.recorded(infos[0], self.path)
        return claimed if os.path.relpath(f"{infos[0]}/RECORD", self.path) in claimed else set()

    def _infos(self) -> Mapping[str, Sequence[str]]:
        if self._known is None:
            self._known = records.infos(self.libraries)
        return self._known

    def _found(self) -> list[str]:
        """Return the files that were installed."""
        return [file for file in host_trees.files_below(self.path) if file not in self._own and file != ".lock"]  # uv's

    def _move(self, owners: Mapping[str, str], trees: Mapping[str, str]) -> None:
        """Move files to the trees of their owners, by the highest directory in which all belongs to one."""
        host_trees.remove_empty_directories(self.path)  # on nobody's list
        directories = _owners_above({**dict.fromkeys(self._own, _SEVERAL), **owners})
        moved = set()
        for file, name in owners.items():
            top = file
            while directories[os.path.dirname(top)] == name:
                top = os.path.dirname(top)
            if top not in moved:
                moved.add(top)
                destination = f"{trees[name]}/{top}"
                os.makedirs(os.path.dirname(destination), exist_ok=True)
                os.rename(f"{self.path}/{top}", destination)


def _owners_above(owners: Mapping[str, str]) -> dict[str, str]:
    """Map every directory above the files to the one owner of all in it, or to _SEVERAL."""
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


def _mark(path: str) -> _Mark:
    status = os.lstat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
