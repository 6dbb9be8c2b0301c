"""What an image takes from addresses, as units: one for each place of `[plugins.esker.image.prepare]`.

A unit's name is its place, and its key is made of hashes that the lock of the image has. So as long as its layer is
known, nothing is fetched, not even on a machine that has never had the bytes.
"""

from __future__ import annotations

import json
import posixpath
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import EskerError, ImageError
from esker.ship.content.places import between
from esker.ship.content.prepared.git_tree import git_tree
from esker.ship.content.prepared.npm_packages import npm_lock, npm_package
from esker.ship.content.prepared.single_file import single_file
from esker.ship.image.unit import Directory, File, SymbolicLink, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.declare.prepared_table import PreparedTable
    from esker.formats.image_lock import LockedInput
    from esker.ship.content.accounts import User
    from esker.ship.content.components import Component
    from esker.ship.content.making import Making
    from esker.ship.content.prepared.source import PreparedFile, Source
    from esker.ship.image.unit import Entry

__all__ = ["PreparedContent", "prepared_content"]

_RECIPE = 1
"""Increase it whenever the same files would become other entries."""
_DEFAULT_MODE = 0o644


class PreparedContent(NamedTuple):
    """What is prepared for an image."""

    units: tuple[Unit, ...] = ()
    inputs: tuple[LockedInput, ...] = ()
    components: tuple[Component, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()


def prepared_content(making: Making, system: str, user: User, others: Iterable[Entry]) -> PreparedContent:
    """Return what is prepared for a system; `user` is that of the image, and `others` what else lies in places.

    Raises ImageError, and what fetching raises.
    """
    declared = making.table.prepare
    _check_places(declared, others)
    category = {package: layer.name for layer in making.table.layers for package in layer.packages}
    units: list[Unit] = []
    inputs: dict[LockedInput, None] = {}
    components: list[Component] = []
    reasons: list[tuple[str, str]] = []
    for place, table in sorted(declared.items()):
        with _naming(place):
            source = _source(making, table, system)
        owner = _owner(table.owner, user, place)
        entries = _Entries(place, table, source, owner)
        key = [_RECIPE, source.identity, place, table.mode, owner, sorted(table.links.items())]
        units.append(
            Unit(
                place,
                sha256(json.dumps(key).encode()).hexdigest(),
                source.size,
                entries,
                category.get(place, ""),
                source.version,
            )
        )
        inputs[source.locked] = None
        components += source.components(place)
        reasons += [(posixpath.join(place, path) if path else place, remark) for path, remark in source.remarks]
    return PreparedContent(tuple(units), tuple(inputs), tuple(components), tuple(reasons))


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Let an error of the block name the place for which something was wanted."""
    try:
        yield
    except EskerError as error:
        error.place = error.place or f'[plugins.esker.image.prepare."{place}"]'
        raise


def _source(making: Making, table: PreparedTable, system: str) -> Source:
    if table.git is not None:
        return git_tree(making, table)
    if table.npm is not None:
        return npm_package(making, table)
    return npm_lock(making, table, system) if table.npm_lock is not None else single_file(making, table)


def _owner(declared: str | None, user: User, place: str) -> tuple[int, int]:
    """Return uid and gid of an owner: of the image's user by its name, of root, or the numbers themselves."""
    if declared is None or declared == "root":
        return 0, 0
    name, _, group = declared.partition(":")
    if name.isdecimal():
        return int(name), int(group or name)
    if name != user.name:
        raise ImageError(
            f"`{place}` is to belong to `{name}`, whom the image does not know",
            hint=f"its user is `{user.name}`, as `user` of [containerize.config] says; or write numbers",
        )
    return user.uid, int(group) if group else user.gid


class _Entries:
    """A function that lists what is prepared for a place."""

    def __init__(self, place: str, table: PreparedTable, source: Source, owner: tuple[int, int]) -> None:
        self._place = place
        self._table = table
        self._source = source
        self._owner = owner

    def __call__(self) -> Iterator[Entry]:
        uid, gid = self._owner
        with _naming(self._place):
            files = list(self._source.files())
        claimed = self._table.claimed(self._place)
        if self._table.file is None:
            directories = {claimed}
            for each in files:
                above = posixpath.dirname(f"{self._place}/{each.path}")
                while len(above) > len(claimed) and above not in directories:
                    directories.add(above)
                    above = posixpath.dirname(above)
            yield from (Directory(path, 0o755, uid, gid) for path in sorted(directories))
        paths = set()
        for each in files:
            paths.add(each.path)
            yield self._entry(each, uid, gid)
        for link, inner in sorted(self._table.links.items()):
            if inner not in paths and not any(path.startswith(f"{inner}/") for path in paths):
                raise ImageError(
                    f"`{link}` is to lead to `{inner}`, which is not in what is prepared for `{self._place}`",
                    hint="correct `links` of [plugins.esker.image.prepare]",
                )
            yield SymbolicLink(link, between(link, f"{self._place}/{inner}"))

    def _entry(self, each: PreparedFile, uid: int, gid: int) -> Entry:
        path = f"{self._place}/{each.path}" if each.path else self._place
        if each.target is not None:
            return SymbolicLink(path, each.target, uid, gid)
        mode = 0o755 if each.is_program else _DEFAULT_MODE
        return File(path, each.source, self._table.mode if self._table.mode is not None else mode, uid, gid)


def _check_places(declared: Mapping[str, PreparedTable], others: Iterable[Entry]) -> None:
    """Raise ImageError if something else of the image lies where something is prepared."""
    claims = {table.claimed(place): table.file is None for place, table in declared.items()}
    claims |= {link: False for table in declared.values() for link in table.links}
    if not claims:
        return
    for entry in others:
        for claim, is_tree in claims.items():
            if isinstance(entry, Directory):
                collides = entry.path == claim and not is_tree
            else:
                collides = f"{entry.path}/".startswith(f"{claim}/")
            above = not isinstance(entry, Directory) and claim.startswith(f"{entry.path}/")
            below = not is_tree and entry.path.startswith(f"{claim}/")
            if collides or above or below:
                raise ImageError(
                    f"`{claim}` is prepared, and `{entry.path}` is in the image already",
                    hint="choose another place in [plugins.esker.image.prepare]",
                )
