"""What is otherwise in an image that begins with a base: accounts are added, and what the base has stays."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.ship.base.facts import BASHES, CERTIFICATES, TIME_ZONES
from esker.ship.content.base_accounts import Accounts
from esker.ship.content.c_library import CLibrary
from esker.ship.content.places import between
from esker.ship.image.unit import Directory, File, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.ship.base.facts import BaseFacts
    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.accounts import User
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.image.unit import Entry

__all__ = [
    "above_base",
    "base_bash",
    "base_certificates",
    "base_library",
    "check_no_directories",
    "check_places",
    "dropped_variables",
    "files_on_base",
    "lacking",
    "settled",
]

_GROUP, _PASSWD = "/etc/group", "/etc/passwd"
_TIME_ZONE = f"{TIME_ZONES}/UTC"
_DIRECTORY_MODE = 0o1777
_ASTRAY = {
    "LD_LIBRARY_PATH": "libraries",
    "LD_PRELOAD": "libraries",
    "PYTHONHOME": "modules",
    "PYTHONPATH": "modules",
}
"""Variables that lead every program of an image, and what they lead it to."""


def settled(container: ContainerSettings, declared: str | None, base: PulledBase) -> ContainerSettings:
    """Return the settings with the user that `declared` means in the base, or whom the base runs as."""
    accounts = Accounts(base.facts)
    user = accounts.user(declared or base.user, is_declared=declared is not None)
    return container._replace(user=user)


def base_library(base: PulledBase) -> CLibrary | None:
    """Return the base's glibc, if it has one for the system."""
    library = base.facts.library
    if library is None or library.name != "glibc":
        return None
    version = ".".join(map(str, library.version))
    return CLibrary(f"glibc {version} of the base", library.version, {}, is_of_base=True)


def lacking(base: PulledBase) -> str:
    """Return what a message says of a base without glibc."""
    library = base.facts.library
    if library is not None and library.name == "musl":
        return f"the base `{base.name}` has musl (`{library.path}`), which programs for glibc cannot use"
    return f"the base `{base.name}` has none"


def base_bash(base: PulledBase) -> str | None:
    """Return the place of the base's bash."""
    return base.facts.first(BASHES)


def base_certificates(base: PulledBase) -> str | None:
    """Return where the base has certificate authorities."""
    return base.facts.first(CERTIFICATES)


def dropped_variables(base: PulledBase, image: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of a base that would lead the image's own programs astray, each with the reason.

    What `image`, the table of the image, says of a variable counts instead.
    """
    return {
        name: f"the base has it, and it would lead programs to other {things}"
        for name, things in _ASTRAY.items()
        if name in base.env and name not in image
    }


def above_base(entries: Iterable[Entry], container: ContainerSettings, base: PulledBase) -> list[Entry]:
    """Return what has to be put above a base of the files that every image has.

    Accounts are the base's with the user of the image. Whatever else the base has is left as it is there.
    """
    facts = base.facts
    accounts = Accounts(facts)
    found: list[Entry] = []
    for entry in entries:
        if entry.path == _PASSWD:
            found += _changed(facts.place(_PASSWD), accounts.passwd(container.user), facts.passwd)
        elif entry.path == _GROUP:
            found += _changed(facts.place(_GROUP), accounts.group(container.user), facts.group)
        elif isinstance(entry, SymbolicLink) and entry.path in {"/lib", "/lib64", "/usr/lib", "/usr/lib64"}:
            found.append(_library_link(entry, base))
        elif not _has(facts, entry, container.user):
            found.append(_moved(entry, facts))
    return found


def _changed(path: str, content: bytes, before: bytes | None) -> Iterator[Entry]:
    if content != before:
        yield File(path, content)


def _library_link(entry: SymbolicLink, base: PulledBase) -> SymbolicLink:
    """Return a link to conda's C library; raises ImageError if it would hide a directory of the base."""
    if base.facts.is_there(entry.path) or base.facts.is_link(entry.path):
        raise ImageError(
            f"conda's C library has to be linked at `{entry.path}`, and the base `{base.name}` has a directory there",
            hint="take a base that has glibc, or no base",
        )
    return entry


def _has(facts: BaseFacts, entry: Entry, user: User) -> bool:
    """Return whether the base has what an entry stands for."""
    if entry.path in CERTIFICATES:
        return facts.first(CERTIFICATES) is not None
    if entry.path == TIME_ZONES:
        return facts.is_there(_TIME_ZONE) or facts.is_there(TIME_ZONES)
    if isinstance(entry, Directory) and user.directory and entry.path == user.home:
        return True  # the base's own user has the home that the base gives it, or none
    return facts.is_there(entry.path) or facts.is_link(entry.path)


def _moved(entry: Entry, facts: BaseFacts) -> Entry:
    """Return an entry that does not lie below a link of the base, which some engines would replace by a directory."""
    place = facts.place(entry.path)
    if place == entry.path:
        return entry
    if isinstance(entry, SymbolicLink) and not entry.target.startswith("/"):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
        return entry._replace(path=place, target=between(place, target))
    return entry._replace(path=place)


def check_places(places: Iterable[str], base: PulledBase, key: str) -> None:
    """Raise ImageError for a place below a link of the base; `key` is the one of the image's table that names it."""
    for path in places:
        place = base.facts.place(path)
        if place != path:
            raise ImageError(
                f"`{path}`, which `{key}` of [plugins.esker.image] puts there, would lie below a link of the base "
                f"`{base.name}`",
                hint=f"name the place that the link leads to in `{key}`: `{posixpath.dirname(place)}`",
            )


def files_on_base(entries: Iterable[Entry], base: PulledBase) -> list[Entry]:
    """Return the project's files with the directories of the base that they lie in, whose modes and owners stay.

    Raises ImageError for a file below a link of the base, and for one in the place of a directory.
    """
    given = {entry.path: entry for entry in entries}
    above = {entry.path: entry for entry in directories_above(given, base, "files")}
    check_no_directories([path for path, entry in given.items() if not isinstance(entry, Directory)], base, "files")
    return [*({**above, **given}.values())]


def check_no_directories(places: Iterable[str], base: PulledBase, key: str) -> None:
    """Raise ImageError for a file or link in the place of a directory of the base, all of which it would hide."""
    for path in places:
        if path in base.facts.directories:
            raise ImageError(
                f"`{path}`, which `{key}` of [plugins.esker.image] puts there, is a directory in the base "
                f"`{base.name}`, and would hide all of it",
                hint=f"name another place in `{key}`",
            )


def directories_above(places: Iterable[str], base: PulledBase, key: str) -> list[Directory]:
    """Return the directories of the base above places, as the base has them; raises what `check_places` raises."""
    places, facts = [*places], base.facts
    check_places(places, base, key)
    above = dict.fromkeys(directory for place in places for directory in facts.directories_above(place))
    states = {directory: facts.directories[directory] for directory in above}
    return [Directory(each, mode & _DIRECTORY_MODE, uid, gid) for each, (mode, uid, gid) in states.items()]
