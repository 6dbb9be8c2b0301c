"""The store paths of Nix in an image: each is a unit, and lies where it lies here, because its files name each other.

A store path enters as it is: directories and programs with mode 0555, other files with 0444, all of them root's. When
the layer of a path is made, its archive (NAR) has to have the hash that Nix knows. Refused by name are links that lead
nowhere in the image, and programs for another system or with a loader that the image does not have.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import re
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats import elf
from esker.formats.nix import nar
from esker.ship.content.components import Component
from esker.ship.image.unit import Directory, File, SymbolicLink, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.formats.nix.path_info import PathInfo
    from esker.ship.image.unit import Entry

__all__ = ["NixClosure", "closure_components", "closure_units"]

_CHUNK = 1 << 20
_VERSION = re.compile(r"-(?=[0-9])")
_OUTPUT = re.compile(r"-(bin|data|debug|dev|doc|info|lib|man|out|static)$")
_OF_EVERY_SYSTEM = ("/dev", "/etc", "/proc", "/run", "/sys", "/var")
"""Where links may lead: what is there comes from the container's engine, or is written at run time."""


class NixClosure(NamedTuple):
    """Store paths, with all that they need."""

    store: str
    """The directory of the store, `/nix/store`."""
    paths: tuple[PathInfo, ...]
    """Sorted by path."""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(info.nar_size for info in self.paths)


def closure_units(closure: NixClosure, system: str, *, has_library: bool) -> list[Unit]:
    """Return a unit for each store path, `nix/NAME`.

    `has_library` says whether the image has a C library outside of the store, which other programs can use.
    """
    held = frozenset(info.path for info in closure.paths)
    units = []
    for (name, version), info in _named(closure.paths):
        key = sha256(f"nix:{info.path}:{info.nar_hash.hex()}:{system}:{int(has_library)}".encode()).hexdigest()
        entries = _Entries(f"nix/{name}", info, closure.store, held, system, has_library=has_library)
        units.append(Unit(f"nix/{name}", key, info.nar_size, entries, version=version))
    return units


def closure_components(closure: NixClosure) -> list[Component]:
    """Return what a bill of materials lists: each store path, with the hash of its archive."""
    return [
        Component(f"nix/{name}", name, version, info.nar_hash.hex(), "nix", {"path": info.path})
        for (name, version), info in _named(closure.paths)
    ]


def _named(paths: Sequence[PathInfo]) -> Iterator[tuple[tuple[str, str], PathInfo]]:
    """Yield each path with a name that the next version of it has too, and its version.

    Of several with one name, such as two versions, all but the first get a number. `openssl-3.0.12-dev` is the package
    `openssl` in version 3.0.12, and its output is part of its name: `openssl-dev`.
    """
    taken: dict[str, int] = {}
    for info in sorted(paths, key=lambda info: (os.path.basename(info.path)[33:], info.path)):
        whole = os.path.basename(info.path)[33:]
        output = match[0] if (match := _OUTPUT.search(whole)) else ""
        name, *version = _VERSION.split(whole.removesuffix(output), maxsplit=1)
        name = (name or whole) + output
        number = taken[name] = taken.get(name, 0) + 1
        yield (name if number == 1 else f"{name}#{number}", version[0] if version else ""), info


class _Entries:
    """A function that lists a store path for its layer, after it has been compared with its hash."""

    def __init__(
        self, unit: str, info: PathInfo, store: str, held: frozenset[str], system: str, *, has_library: bool
    ) -> None:
        self._unit = unit
        self.path = info.path
        self._info = info
        self._store = store
        self._held = held
        self._machine = elf.MACHINES[system.partition("-")[0]]
        self._system = system
        self._has_library = has_library

    def __call__(self) -> list[Entry]:
        digest = sha256()
        listed: list[Entry] = []
        try:
            for piece in nar.dump(self._listed(listed)):
                digest.update(piece)
        except OSError as error:
            raise ImageError(
                f"`{self._info.path}` cannot be read: {error.strerror}", hint="activate the environment again"
            ) from error
        if digest.digest() != self._info.nar_hash:
            raise ImageError(
                f"`{self._info.path}` is not as Nix knows it: its hash is another one",
                hint=f"have Nix repair it: nix-store --verify-path {self._info.path}",
            )
        return listed

    def _listed(self, listed: list[Entry]) -> Iterator[nar.Entry]:
        """Yield what the archive holds, and put the entries of the image into `listed`."""
        pending: list[tuple[bytes, ...]] = [()]
        root = os.fsencode(self._info.path)
        while pending:
            parts = pending.pop()
            path = b"/".join((root, *parts))
            place = os.fsdecode(path)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(path)
                self._check_link(place, os.fsdecode(target))
                listed.append(SymbolicLink(place, os.fsdecode(target)))
                yield nar.Symlink(parts, target)
            elif stat.S_ISDIR(status.st_mode):
                listed.append(Directory(place, 0o555))
                yield nar.Directory(parts)
                pending += [(*parts, name) for name in sorted(os.listdir(path), reverse=True)]
            elif stat.S_ISREG(status.st_mode):
                is_program = bool(status.st_mode & stat.S_IXUSR)
                if is_program:
                    self._check_program(place)
                listed.append(File(place, place, 0o555 if is_program else 0o444))
                yield nar.Regular(parts, is_program, status.st_size, _chunks(path))
            else:
                raise self._refused(place, "it is no file, directory or link")

    def _check_link(self, place: str, target: str) -> None:
        """Raise ImageError for a link that would lead nowhere in the image."""
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if whole == self._store or whole.startswith(f"{self._store}/"):
            inside = "/".join(whole.split("/")[: self._store.count("/") + 2])
            if inside in self._held:
                return
            reason = f"it leads to `{whole}`, which is not among the paths that it needs"
        elif any(f"{whole}/".startswith(f"{each}/") for each in _OF_EVERY_SYSTEM):
            return
        else:
            reason = f"it leads to `{whole}`, which is this machine's and not Nix's"
        raise self._refused(place, reason)

    def _check_program(self, place: str) -> None:
        with open(place, "rb") as file:
            if file.read(4) != elf.MAGIC or os.fstat(file.fileno()).st_size < 64:  # noqa: PLR2004  # a header's size
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                parsed = elf.parse(data)
        if parsed is None:
            return
        if parsed.machine != self._machine:
            raise self._refused(place, f"it is not for {self._system}")
        loader = parsed.interpreter
        if loader is not None and not loader.startswith(f"{self._store}/") and not self._has_library:
            raise self._refused(place, f"it needs the loader `{loader}`, which is this machine's and not Nix's")

    def _refused(self, place: str, reason: str) -> ImageError:
        hint = "take the package out, or have Nix build it of its own packages alone"
        return ImageError(f"`{place}` of {self._unit} cannot be in an image: {reason}", hint=hint)


def _chunks(path: bytes) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            yield data
