"""The tree that a layer holds: the entries of its units, checked and in the order of the archive.

Units may come from anybody, so every entry is looked at before a byte is written. Refused are: a path that is not
absolute or leaves the root, a link that climbs above the root, a name that engines take for a deletion (`.wh.…`), two
entries of one path, an entry below something that is no directory, and a set-user-ID, set-group-ID or sticky bit, but
for the sticky bit of a directory. Devices, pipes and sockets have no entry, and a file's source that is one is refused
when it is read. Extended attributes, access lists and capabilities are never read, so none enters an image.

Directories above an entry are written as 0755 and root's, unless a unit of the layer lists them. This is not done for
the first directory of a path nor below `/usr`, `/etc`, `/var` and the like. There the base may have links and modes of
its own, and engines make what is missing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.ship.image.unit import Directory, Entry, File, HardLink, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.ship.image.unit import Unit

__all__ = ["tree"]

_OF_THE_BASE = frozenset(
    {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "proc", "root", "run"}
    | {"sbin", "sys", "tmp", "usr", "var"}
)
_LONGEST_PATH, _LONGEST_NAME = 4096, 255
_LARGEST_ID = (1 << 32) - 2
_DELETION = ".wh."
_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z)|\.wh\.)[^/\0]{1,255})+")
"""A path that has no fault if it is ASCII and not too long: the other ones are looked at part by part."""
_PERMISSIONS, _STICKY = 0o777, 0o1000


def tree(units: Iterable[Unit]) -> list[Entry]:
    """Return the entries of all units, each directory before what lies in it, and each file before its other names.

    Raises ImageError for a tree that is refused; it names the unit and the path.
    """
    entries: dict[tuple[str, ...], Entry] = {}
    owners: dict[tuple[str, ...], str] = {}
    for unit in units:
        for entry in unit.entries():
            parts = _checked(entry, unit)
            earlier = entries.setdefault(parts, entry)
            owner = owners.setdefault(parts, unit.name)
            if earlier is not entry and not (isinstance(entry, Directory) and earlier == entry):
                raise _refused(
                    unit, entry, f"`{owner}` has another entry of that path", "leave one of the two packages out"
                )
    _check_names(entries, owners)
    entries |= {parts: Directory("/" + "/".join(parts)) for parts in _above(entries)}
    _check_parents(entries, owners)
    return [entries[parts] for parts in _in_order(entries)]


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[1:])


def _refused(unit: Unit, entry: Entry, reason: str, hint: str | None = None) -> ImageError:
    return ImageError(f"`{entry.path}` of `{unit.name}` cannot be in an image: {reason}", hint=hint)


def _checked(entry: Entry, unit: Unit) -> tuple[str, ...]:
    """Return the parts of the entry's path; raises ImageError."""
    for path in (entry.path, entry.target) if isinstance(entry, HardLink) else (entry.path,):
        if fault := _path_fault(path):
            raise _refused(unit, entry, fault)
    parts = _parts(entry.path)
    if isinstance(entry, SymbolicLink) and (fault := _link_fault(parts, entry.target)):
        raise _refused(unit, entry, fault)
    if isinstance(entry, HardLink):
        return parts
    if not (0 <= entry.uid <= _LARGEST_ID and 0 <= entry.gid <= _LARGEST_ID):
        raise _refused(unit, entry, f"{entry.uid}:{entry.gid} is no owner")
    if isinstance(entry, Directory | File):
        allowed = _PERMISSIONS | (_STICKY if isinstance(entry, Directory) else 0)
        if entry.mode & ~allowed:
            hint = "programs in an image get no rights of another user: run the container as that user"
            raise _refused(unit, entry, f"its mode is {entry.mode:04o}", hint)
    return parts


def _path_fault(path: str) -> str | None:
    if _PLAIN.fullmatch(path) and path.isascii() and len(path) < _LONGEST_PATH:
        return None
    parts = path.split("/")
    if parts[0] or len(parts) == 1:
        return "the path is not absolute"
    if any(part in {"", ".", ".."} for part in parts[1:]):
        return "the path has an empty part, `.` or `..`"
    if any(part.startswith(_DELETION) for part in parts):
        return f"engines take a name that begins with `{_DELETION}` for a deletion"
    return _text_fault(path) or (
        f"a name has more than {_LONGEST_NAME} bytes"
        if any(len(part.encode()) > _LONGEST_NAME for part in parts)
        else None
    )


def _link_fault(parts: tuple[str, ...], target: str) -> str | None:
    depth = 0 if target.startswith("/") else len(parts) - 1
    for part in target.split("/"):
        depth += 0 if part in {"", "."} else -1 if part == ".." else 1
        if depth < 0:
            return f"it leads out of the image, to `{target}`"
    return _text_fault(target) if target else "it leads nowhere"


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "it has a NUL character"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return None if size < _LONGEST_PATH else f"it has more than {_LONGEST_PATH} bytes"


def _above(entries: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the directories above the entries that are to be written although no unit lists them."""
    above: set[tuple[str, ...]] = set()
    for parts in entries:
        directory = parts[:-1]
        while len(directory) > 1 and directory not in above and directory[0] not in _OF_THE_BASE:
            above.add(directory)
            directory = directory[:-1]
    return above.difference(entries)


def _check_parents(entries: dict[tuple[str, ...], Entry], owners: dict[tuple[str, ...], str]) -> None:
    """Raise ImageError for an entry below another one that is no directory: it would lie where a link leads."""
    checked: set[tuple[str, ...]] = set()
    for parts, entry in entries.items():
        directory = parts[:-1]
        while directory and directory not in checked:
            checked.add(directory)
            above = entries.get(directory)
            if above is not None and not isinstance(above, Directory):
                raise ImageError(
                    f"`{entry.path}` of `{owners.get(parts)}` cannot be in an image: "
                    f"`{above.path}` of `{owners.get(directory)}` is no directory",
                    hint="leave one of the two packages out",
                )
            directory = directory[:-1]


def _check_names(entries: Mapping[tuple[str, ...], Entry], owners: Mapping[tuple[str, ...], str]) -> None:
    """Raise ImageError for a hard link whose file is not a file of the same unit."""
    for parts, entry in entries.items():
        if isinstance(entry, HardLink):
            target = _parts(entry.target)
            if owners.get(target) != owners[parts] or not isinstance(entries[target], File):
                raise ImageError(
                    f"`{entry.path}` of `{owners[parts]}` cannot be in an image: "
                    f"it is another name of `{entry.target}`, which is no file of that unit"
                )


def _in_order(entries: dict[tuple[str, ...], Entry]) -> Iterator[tuple[str, ...]]:
    """Yield the paths sorted by their parts; of a file with several names the first becomes the file."""
    names_of: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for parts, entry in entries.items():
        if isinstance(entry, HardLink):
            names_of.setdefault(_parts(entry.target), []).append(parts)
    for target, names in names_of.items():
        file = entries[target]
        assert isinstance(file, File)
        first = min(*names, target)
        path = "/" + "/".join(first)
        for name in {*names, target} - {first}:
            entries[name] = HardLink("/" + "/".join(name), path)
        entries[first] = file._replace(path=path)
    yield from sorted(entries)
