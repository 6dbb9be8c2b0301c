"""What goes where in a prefix: the files of all its packages, worked out before the first of them is linked.

Whatever a package says, every path of the plan lies in the prefix: each directory on the way to it is one of the plan,
and no link of the plan leads out of the prefix.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.formats.conda.package_info import ADVICE
from esker.formats.printable import printable
from esker.realise.conda.contents import Item
from esker.realise.conda.python import PIP
from esker.store.listing import FILE, LINK, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from esker.realise.conda.packages import Unpacked
    from esker.realise.conda.python import CondaPython

__all__ = ["METADATA", "Place", "Plan", "plan"]

METADATA = "conda-meta"
"""The directory in which a prefix says what packages it has."""
_MOST_LINKS = 40
"""How many links the kernel follows on the way to a file."""
_SCRIPTS = (("bin/.", "-post-link.sh"), ("bin/.", "-pre-link.sh"))


class Place(NamedTuple):
    """A file or a link of the prefix."""

    owner: int
    """The index of its package."""
    source: str
    """Its path in the package."""
    item: Item
    content: bytes | None = None
    """What it holds if it is not a file of the package, but made for this prefix."""


class Plan(NamedTuple):
    """What a prefix will hold."""

    places: Mapping[str, Place]
    """By path in the prefix."""
    directories: Collection[str]
    """Every directory, by path in the prefix."""
    warnings: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]
    """The paths that are each package's, sorted."""


def plan(packages: Sequence[Unpacked], python: CondaPython | None, prefix: str) -> Plan:
    """Lay out the packages for the prefix at this path; of files with one path, the last package's is taken.

    Raises RealisationFailed for packages that cannot be in one prefix, and for a link that leads out of it.
    """
    places: dict[str, Place] = {}
    directories = {METADATA: 0}
    warnings = _scripts(packages)
    for owner, each in enumerate(packages):
        if python is not None and each.package.name == PIP:
            continue
        for path, place in _brought(owner, each, python, prefix):
            if python is not None and python.replaces(path):
                continue
            before = places.get(path)
            if before is not None and before.item[:2] != place.item[:2]:
                names = f"`{packages[before.owner].package.name}` and `{each.package.name}`"
                used = f"that of `{each.package.name}` is used"
                warnings.append(f"{names} bring different files `{printable(path)}`: {used}")
            places[path] = place
        own = [_path(path, each, python) for path in each.contents.directories]
        directories.update(dict.fromkeys(own, owner))
    if python is not None:
        owner = next(number for number, each in enumerate(packages) if each.package is python.package)
        places |= {path: _made(owner, path, content) for path, content in python.files().items()}
    for path, owner in [*directories.items(), *((path, place.owner) for path, place in places.items())]:
        above = os.path.dirname(path)
        while above and above not in directories:
            directories[above] = owner
            above = os.path.dirname(above)
    _check_directories(places, directories, packages)
    _check_links(places, packages)
    owned: list[list[str]] = [[] for _ in packages]
    for path in sorted(places):
        owned[places[path].owner].append(path)
    return Plan(places, directories, tuple(warnings), tuple(map(tuple, owned)))


def _brought(owner: int, unpacked: Unpacked, python: CondaPython | None, prefix: str) -> Iterator[tuple[str, Place]]:
    """Yield what a package brings: its files and links, then the commands of its entry points."""
    package, _, contents = unpacked
    if contents.is_python and python is None:
        raise RealisationFailed(
            f"the conda package `{package.title}` needs Python, which is not among the locked packages",
            hint="lock anew: esker lock --upgrade",
        )
    for source, item in contents.items.items():
        yield _path(source, unpacked, python), Place(owner, source, item)
    for entry in contents.entry_points:
        assert python is not None, "only a package of Python has them"
        path = f"bin/{entry.command}"
        yield path, _made(owner, path, python.command(entry, prefix))


def _path(source: str, unpacked: Unpacked, python: CondaPython | None) -> str:
    """Return where in the prefix a path of the package lies."""
    return python.place(source) if python is not None and unpacked.contents.is_python else source


def _made(owner: int, path: str, content: bytes) -> Place:
    kind = PROGRAM if path.startswith("bin/") else FILE
    return Place(owner, path, Item(kind, sha256(content).hexdigest(), len(content)), content)


def _scripts(packages: Sequence[Unpacked]) -> list[str]:
    found = []
    for package, _, contents in packages:
        if any(path.startswith(start) and path.endswith(end) for path in contents.items for start, end in _SCRIPTS):
            found.append(f"`{package.name}` has a script that conda would run when it is installed; Esker runs none")
    return found


def _check_directories(
    places: Mapping[str, Place], directories: Mapping[str, int], packages: Sequence[Unpacked]
) -> None:
    for path, owner in directories.items():
        if path in places:
            names = f"`{packages[places[path].owner].package.title}` and `{packages[owner].package.title}`"
            kind = "link" if places[path].item.kind == LINK else "file"
            raise RealisationFailed(
                f"the conda packages {names} cannot be in one environment: `{printable(path)}` is a {kind} of the one "
                "and a directory of the other",
                hint="take one of them out",
            )


def _check_links(places: Mapping[str, Place], packages: Sequence[Unpacked]) -> None:
    links = {path: place.item.value for path, place in places.items() if place.item.kind == LINK}
    for path, target in links.items():
        if _leaves(path, links):
            raise RealisationFailed(
                f"the conda package `{packages[places[path].owner].package.title}`: its link `{printable(path)}` leads "
                f"out of the environment, to `{printable(target)}`",
                hint=ADVICE,
            )


def _leaves(path: str, links: Mapping[str, str]) -> bool:
    """Return whether the link at `path` leads out of the prefix, where `links` are the targets of all links in it."""
    pending = [*reversed(path.split("/"))]
    place: list[str] = []
    followed = 0
    while pending:
        part = pending.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not place:
                return True
            place.pop()
            continue
        place.append(part)
        target = links.get("/".join(place))
        if target is not None:
            followed += 1
            if target.startswith("/"):
                return True
            if followed > _MOST_LINKS:  # a circle: it leads nowhere
                return False
            place.pop()
            pending += reversed(target.split("/"))
    return False
