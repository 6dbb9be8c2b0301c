"""npm packages in an image: one alone, or those of a `package-lock.json`, each by its integrity. No script is run.

Each archive becomes a tree in the store, named by its integrity, so that a changed lock fetches what has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from esker.errors import HostError, ImageError
from esker.formats.counted import counted
from esker.formats.image_lock import LockedInput
from esker.formats.npm import integrity as integrities
from esker.formats.npm import names, package_lock
from esker.formats.oci.platform import platform_of
from esker.formats.untrusted import LARGEST
from esker.formats.urls import redact
from esker.host import files
from esker.host.scratch import scratch
from esker.progress import reporting
from esker.ship.content.components import Component
from esker.ship.content.prepared.npm_archive import has_install_script, programs, unpack
from esker.ship.content.prepared.npm_registry import NpmRegistries
from esker.ship.content.prepared.source import PreparedFile, Source, size_of, tree_files
from esker.ship.content.project_files import how_to_track, tracked_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from esker.declare.prepared_table import PreparedTable
    from esker.formats.npm.integrity import Integrity
    from esker.formats.npm.package_lock import NpmPackage
    from esker.progress import Progress
    from esker.ship.content.making import Making

__all__ = ["npm_lock", "npm_package"]

_RECIPE = 1
"""Increase it whenever the same archives would give other files."""
_PACKAGE, _LOCK = "npm", "npm-lock"
_NOT_RUN = "its install script is not run"
_AT_ONCE = 8
_FILE = "100"
"""How git's modes of files begin; a link could lead out of the project."""
_PINNED = "if it was meant to change, pin it again: esker image build --upgrade"
_OF_REGISTRY = "the registry itself names another hash: take another version, or ask those who keep the registry"
_LOCKED = "if the lock of npm was altered, put its `integrity` right, as in git, or have npm lock the package anew"


def npm_package(making: Making, table: PreparedTable) -> Source:
    """Return an npm package without its dependencies, pinned to a version and its hash; raises ImageError."""
    name, wanted = names.parts(table.npm or "")
    registries = _registries(making)
    before = making.pin(_PACKAGE, table.npm or "")
    if before is None or not isinstance(before.size, int) or not isinstance(before.version, str):
        making.require_pin(f"npm's `{table.npm}`")
        before = _pinned(making, registries, name, wanted)
    integrity = integrities.parse(before.hash)
    version = before.version if isinstance(before.version, str) else ""
    if integrity is None or integrity.is_weak or not names.is_version(version):
        raise ImageError(
            f"npm's `{table.npm}` in .flox/image.lock has no valid hash", hint="esker image build --upgrade"
        )
    known = integrity

    def tree() -> str:
        def archive(directory: str) -> str:
            offer = registries.offer(name, version, directory)
            registries.fetch(offer.url, f"{directory}/archive")
            _check(f"{directory}/archive", known, f"{name}@{version}", offer.url, _PINNED)
            return f"{directory}/archive"

        return _tree(making, known, f"{name}@{version}", archive)

    return Source(
        before,
        json.dumps([_PACKAGE, _RECIPE, str(known)]),
        version,
        lambda: _with_programs(tree(), ""),
        lambda unit: [_component(unit, name, version, known)],
        (("", _NOT_RUN),) if before.has_install_script is True else (),
    )


def _pinned(making: Making, registries: NpmRegistries, name: str, wanted: str) -> LockedInput:
    """Return the package as it goes into the lock: with the SHA-512 of what the registry gives now."""
    with scratch("npm") as directory, reporting(making.progress) as progress:
        progress.begin(f"Fetching npm's {name}@{wanted}")
        offer = registries.offer(name, wanted, directory)
        title, path = f"{name}@{offer.version}", f"{directory}/archive"
        registries.fetch(offer.url, path)
        _check(path, offer.integrity, title, offer.url, _OF_REGISTRY)
        found = integrities.sha512(path)
        known = integrities.parse(found)
        assert known is not None
        tree = _tree(making, known, title, lambda _: path)
        progress.finish(f"npm's {title}, for the image")
    return LockedInput(
        kind=_PACKAGE,
        name=f"{name}@{wanted}",
        url=redact(offer.url).partition("?")[0],
        version=offer.version,
        size=size_of(tree_files(tree)),
        has_install_script=has_install_script(tree) or msgspec.UNSET,
        hash=found,
    )


def npm_lock(making: Making, table: PreparedTable, system: str) -> Source:
    """Return the packages of a lock of npm that a system needs; raises ImageError and InvalidLock."""
    path, platform = table.npm_lock or "", str(platform_of(system))
    project = making.declaration.project
    if not tracked_files(project, path, making.settings.tools).get(path, "").startswith(_FILE):
        raise ImageError(
            f"git tracks no regular file `{path}`, which `npm-lock` of [plugins.esker.image.prepare] names",
            hint=f'name the file in it: "{path}/package-lock.json"'
            if os.path.isdir(f"{project}/{path}")
            else how_to_track(project, path),
        )
    place = f"{project}/{path}"
    wanted = package_lock.packages(files.read(place, limit=LARGEST), place, system)
    identity = json.dumps([_LOCK, _RECIPE, [[each.path, str(each.integrity)] for each in wanted]])
    digest = f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"
    registries = _registries(making)
    before = making.pin(_LOCK, path, platform)
    if before is None or before.hash != digest or not isinstance(before.size, int):
        making.require_pin(f"`{path}` as it is now")
        size = size_of(_all_files(making, registries, wanted, making.progress))
        before = LockedInput(kind=_LOCK, name=path, platform=platform, url="", size=size, hash=digest)
    return Source(
        before,
        identity,
        counted(len(wanted), "package"),
        lambda: _all_files(making, registries, wanted),
        lambda unit: [_component(unit, each.name, each.version, each.integrity) for each in wanted],
        tuple((each.path, _NOT_RUN) for each in wanted if each.has_script),
    )


def _all_files(
    making: Making, registries: NpmRegistries, wanted: Sequence[NpmPackage], progress: Progress | None = None
) -> Iterator[PreparedFile]:
    """Yield the files of all packages, and the links of their programs in `.bin` beside them."""
    with reporting(progress) as listener, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="esker-npm") as pool:
        listener.begin("Fetching packages of npm", total=len(wanted), unit="package")
        futures = [pool.submit(_locked_tree, making, registries, each) for each in wanted]
        trees: dict[str, str] = {}
        try:
            for each, future in zip(wanted, futures, strict=True):
                trees[each.path] = future.result()
                listener.advance()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        listener.finish(f"{counted(len(wanted), 'package of npm', 'packages of npm')}, for the image")
    links: dict[str, tuple[bool, str]] = {}
    for path, tree in trees.items():
        yield from _with_programs(tree, f"{path}/")
        above, _, name = path.rpartition("node_modules/")
        for command, program in programs(tree).items():
            link = f"{above}node_modules/.bin/{command}"
            is_own = command == name.rpartition("/")[2]
            if link not in links or (is_own and not links[link][0]):
                links[link] = (is_own, f"../{name}/{program}")
    for link, (_, target) in sorted(links.items()):
        yield PreparedFile(link, target=target)


def _locked_tree(making: Making, registries: NpmRegistries, package: NpmPackage) -> str:
    title = f"{package.name}@{package.version}"

    def archive(directory: str) -> str:
        path = f"{directory}/archive"
        *others, last = registries.addresses(package.name, package.version, package.resolved)
        for url in others:
            try:
                registries.fetch(url, path)
            except HostError:
                if os.path.exists(path):
                    os.unlink(path)
                continue
            _check(path, package.integrity, title, url, _LOCKED)
            return path
        registries.fetch(last, path)
        _check(path, package.integrity, title, last, _LOCKED)
        return path

    return _tree(making, package.integrity, title, archive)


def _tree(making: Making, integrity: Integrity, title: str, archive: Callable[[str], str]) -> str:
    """Return the tree of a package in the store; `archive` gives a checked archive if it is not there."""

    def fill(target: str) -> None:
        with scratch("npm") as directory:
            unpack(archive(directory), target, title, making.settings.largest_wheel)

    return making.store.build("npm-package", f"npm-package:{json.dumps([_RECIPE, str(integrity)])}", fill)


def _check(path: str, integrity: Integrity, title: str, url: str, remedy: str) -> None:
    """Raise ImageError, with what to do, if an archive does not have its hash."""
    found = integrity.of_file(path)
    if not integrity.matches(found):
        raise ImageError(
            f"`{redact(url)}` gave an archive of `{title}` with the hash {found}, and {integrity} is expected",
            hint=f"do not use that archive; {remedy}",
        )


def _with_programs(tree: str, below: str) -> Iterator[PreparedFile]:
    """Yield the files of a package; what it declares as programs can be executed."""
    executed = {f"{below}{path}" for path in programs(tree).values()}
    for each in tree_files(tree, below):
        yield each._replace(is_program=True) if each.path in executed else each


def _component(unit: str, name: str, version: str, integrity: Integrity) -> Component:
    return Component(unit, name, version, None, "npm", integrity=str(integrity))


def _registries(making: Making) -> NpmRegistries:
    return NpmRegistries(making.declaration.project, making.settings.tools, making.settings.largest_wheel)
