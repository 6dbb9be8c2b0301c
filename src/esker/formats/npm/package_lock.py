"""`package-lock.json`: the packages that npm has chosen, each with the directory that it lies in.

Versions 2 and 3 have `packages`: the keys are paths such as `node_modules/a/node_modules/@scope/b`, and `""` is the
project. An entry has `version`, `resolved`, `integrity`, and `name` if the directory is called otherwise. `dev` is what
only development needs. `link` and keys outside of `node_modules` are directories of the project. What is `inBundle`
lies in the archive of the package above. `os`, `cpu` and `libc` say which systems a package is for (`!` before a name
means all others); if it is `optional`, it is left out on the other ones. Documentation: `package-lock.json` of npm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from esker.errors import InvalidLock, Problem
from esker.formats.npm import integrity as integrities
from esker.formats.npm import names
from esker.formats.printable import printable
from esker.formats.tables.reader import Refusal
from esker.formats.untrusted import LARGEST, json_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.formats.npm.integrity import Integrity

__all__ = ["NpmPackage", "packages"]

_MOST = 20_000
_LONGEST_PATH = 1000
_AGAIN = "write it again with npm: npm install --package-lock-only"
_CPU = {"x86_64": "x64", "aarch64": "arm64"}

_Names = tuple[str, ...] | str


class _Entry(msgspec.Struct, frozen=True):
    version: str = ""
    name: str = ""
    resolved: str | bool = ""
    integrity: str = ""
    dev: bool = False
    optional: bool = False
    link: bool = False
    in_bundle: bool = msgspec.field(default=False, name="inBundle")
    has_install_script: bool = msgspec.field(default=False, name="hasInstallScript")
    os: _Names = ()
    cpu: _Names = ()
    libc: _Names = ()


class _Lock(msgspec.Struct, frozen=True):
    packages: dict[str, _Entry]
    version: Literal[2, 3] = msgspec.field(name="lockfileVersion")


class NpmPackage(NamedTuple):
    """A package that is to be unpacked."""

    path: str
    """Such as `node_modules/@scope/name`; checked."""
    name: str
    version: str
    integrity: Integrity
    resolved: str
    """The address of its archive, or nothing."""
    has_script: bool
    """Whether npm would run a script of it now."""


def packages(data: bytes, path: str, system: str) -> tuple[NpmPackage, ...]:
    """Return the packages that a system needs in production, sorted by their paths; raises InvalidLock.

    `path` is that of the file, for people, and `system` such as `x86_64-linux`.
    """
    try:
        lock = msgspec.convert(json_value(data[: LARGEST + 1]), _Lock)
    except ValueError as error:
        raise InvalidLock(path, [Problem(f"not a lock of npm: {error}", hint=_AGAIN)]) from error
    if len(lock.packages) > _MOST:
        raise InvalidLock(path, [Problem(f"it has more than {_MOST} packages", hint="divide the project")])
    found: list[NpmPackage] = []
    problems: list[Problem] = []
    for place, entry in sorted(lock.packages.items()):
        try:
            if place and not entry.dev and not _is_bundled(place, entry, lock) and _is_for(place, entry, system):
                found.append(_package(place, entry))
        except Refusal as refusal:
            problems.append(Problem(printable(refusal.message), hint=refusal.hint))
    if problems:
        raise InvalidLock(path, problems)
    return tuple(found)


def _is_bundled(place: str, entry: _Entry, lock: _Lock) -> bool:
    """Return whether a package lies in the archive of one that is above it; a claim without one is refused."""
    if not entry.in_bundle:
        return False
    above = place
    while "/node_modules/" in above:
        above = above.rpartition("/node_modules/")[0]
        if above in lock.packages and not lock.packages[above].in_bundle:
            return True
    raise Refusal(f"`{place}` is said to lie in the archive of a package above it, and there is none", _AGAIN)


def _package(place: str, entry: _Entry) -> NpmPackage:
    name = _checked_name(place)
    if entry.link or name is None:
        raise Refusal(
            f"`{place}` is a directory of the project, not a package of a registry",
            "put it into the image by `files`, or publish it",
        )
    name = entry.name or name
    if not names.is_name(name) or not names.is_version(entry.version):
        raise Refusal(f"`{place}` has no valid name and version", _AGAIN)
    resolved = entry.resolved if isinstance(entry.resolved, str) else ""
    if resolved and not resolved.startswith(("https://", "http://")):
        raise Refusal(f"`{place}` comes from `{resolved.partition(':')[0]}:`, and not from a registry", _AGAIN)
    integrity = integrities.parse(entry.integrity)
    if integrity is None or integrity.is_weak:
        raise Refusal(f"`{place}` is locked without a SHA-2 hash", _AGAIN)
    return NpmPackage(place, name, entry.version, integrity, resolved, entry.has_install_script)


def _checked_name(place: str) -> str | None:
    """Return the name of a package by its path; None for a path outside of `node_modules`; raises Refusal."""
    if not place.startswith("node_modules/"):
        if place.startswith("/") or ".." in place.split("/"):
            raise Refusal(f"`{place}` leads out of the project", _AGAIN)
        return None
    inner = place.removeprefix("node_modules/").split("/node_modules/")
    if len(place) > _LONGEST_PATH or not all(map(names.is_name, inner)):
        raise Refusal(f"`{place}` is no directory of packages", _AGAIN)
    return inner[-1]


def _is_for(place: str, entry: _Entry, system: str) -> bool:
    machine, _, kernel = system.partition("-")
    wanted = (("os", entry.os, kernel), ("cpu", entry.cpu, _CPU[machine]), ("libc", entry.libc, "glibc"))
    for key, listed, own in wanted:
        if not _allows(listed, own):
            if not entry.optional:
                raise Refusal(f"`{place}` is not for {system}: its `{key}` is {', '.join(_listed(listed))}", _AGAIN)
            return False
    return True


def _allows(listed: _Names, own: str) -> bool:
    words = [*_listed(listed)]
    refused = [word[1:] for word in words if word.startswith("!")]
    allowed = [word for word in words if not word.startswith("!")]
    return own not in refused and (not allowed or own in allowed or "any" in allowed)


def _listed(listed: _Names) -> Iterator[str]:
    yield from [listed] if isinstance(listed, str) else listed
