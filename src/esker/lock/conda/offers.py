"""What channels offer: the names of their packages, and the versions of one, with the systems that have them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from esker.formats.conda.specs import system_of_subdir
from esker.formats.conda.subdirs import SUBDIRS
from esker.formats.urls import redact
from esker.lock.conda.channels import unanswered
from esker.lock.conda.client import await_result

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence
    from typing import Any, TypeVar

    from rattler import RepoDataRecord

    from esker.lock.conda.channels import Channels

    T = TypeVar("T")

__all__ = ["Matches", "Offer", "Version", "matches", "names", "offers"]

_MOST_NEAR = 10
_SYSTEMS_WITH = {"__linux": "-linux", "__osx": "-darwin"}
"""What a package for every system may need, and how the names of the systems end that have it."""


class Matches(NamedTuple):
    """Names of packages that fit a word."""

    names: tuple[str, ...]
    """The best one first."""
    are_near: bool
    """Whether none contains the word, so that these are those that are spelt much like it."""


class Version(NamedTuple):
    """A version of a package."""

    version: str
    systems: tuple[str, ...]
    """The systems that have it, sorted."""


class Offer(NamedTuple):
    """A package that channels have."""

    name: str
    channel: str
    """The address of the channel that has the newest version."""
    versions: tuple[Version, ...]
    """The newest first."""
    license: str | None
    """Of the newest version, as are `size` and `depends`."""
    size: int | None
    """Of its archive for this system, in bytes; for another one if this system has none."""
    depends: tuple[str, ...]
    """The specs of what that archive's package needs."""

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that have the package in any version, sorted."""
        return tuple(sorted({system for version in self.versions for system in version.systems}))


def matches(known: Iterable[str], word: str) -> Matches:
    """Return the names that contain a word, or else those that are near to it.

    >>> matches(["atop", "gotop", "top"], "TOP"), matches(["htop", "jq"], "hotp")
    (Matches(names=('top', 'atop', 'gotop'), are_near=False), Matches(names=('htop',), are_near=True))
    """
    word = word.lower()
    words = sorted(set(known))
    containing = [name for name in words if word in name]
    if containing:
        best_first = sorted(containing, key=lambda name: (name != word, not name.startswith(word), name))
        return Matches(tuple(best_first), are_near=False)
    return Matches(tuple(get_close_matches(word, words, _MOST_NEAR)), are_near=True)


def names(channels: Channels) -> list[str]:
    """Return the names of all packages of channels, of every system; raises HostError where a channel does not answer.

    A channel need not have every system.
    """
    found = _answer(channels.gateway.names(channels.channels, _subdirs(tuple(SUBDIRS))), channels)
    return [name.normalized for name in found]


def offers(
    channels: Channels, wanted: Sequence[str], system: str, *, systems: Sequence[str] = tuple(SUBDIRS)
) -> dict[str, Offer]:
    """Return what channels offer of packages to systems, by the packages' names; without those that nobody has.

    For each system a package comes from the first channel that has it, as when it is locked. Raises HostError where a
    channel does not answer.
    """
    if not wanted:
        return {}
    query = channels.gateway.query(channels.channels, _subdirs(systems), wanted, recursive=False)
    found: dict[str, dict[str, list[RepoDataRecord]]] = {}
    for records in _answer(query, channels):
        of_channel: dict[str, dict[str, list[RepoDataRecord]]] = {}
        for record in records:
            for each in _systems(record, systems):
                of_channel.setdefault(record.name.normalized, {}).setdefault(each, []).append(record)
        for name, by_system in of_channel.items():
            found[name] = by_system | found.get(name, {})
    return {name: _offer(name, found[name], system) for name in wanted if name in found}


def _subdirs(systems: Sequence[str]) -> list[Any]:
    """Return the directories of a channel that have packages for systems."""
    return [*(SUBDIRS[each] for each in systems), "noarch"]


def _answer(request: Coroutine[Any, Any, T], channels: Channels) -> T:
    from rattler.exceptions import FetchRepoDataError, GatewayError

    try:
        return await_result(request)
    except (GatewayError, FetchRepoDataError, OSError) as error:
        raise unanswered(str(error), channels) from error


def _systems(record: RepoDataRecord, systems: Sequence[str]) -> list[str]:
    """Return the systems that a package is for."""
    if record.subdir != "noarch":
        return [each for each in systems if each == system_of_subdir(record.subdir)]
    needed = {spec.partition(" ")[0] for spec in record.depends}
    if "__win" in needed:
        return []
    return [
        each for each in systems if all(each.endswith(end) for name, end in _SYSTEMS_WITH.items() if name in needed)
    ]


def _offer(name: str, by_system: Mapping[str, Sequence[RepoDataRecord]], system: str) -> Offer:
    builds = [(record, each) for each, records in by_system.items() for record in records]
    builds.sort(key=lambda build: build[0].version, reverse=True)
    having: dict[str, set[str]] = {}
    for record, each in builds:
        having.setdefault(str(record.version), set()).add(each)
    newest = [(record, each) for record, each in builds if record.version == builds[0][0].version]
    best, _ = max(newest, key=lambda build: (build[1] == system, build[0].build_number, str(build[0].timestamp)))
    return Offer(
        name=name,
        channel=redact(str(best.channel or best.url)).rstrip("/"),
        versions=tuple(Version(version, tuple(sorted(each))) for version, each in having.items()),
        license=best.license,
        size=best.size,
        depends=tuple(best.depends),
    )
