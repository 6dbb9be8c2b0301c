"""`.flox/conda.lock`: a lock as rattler writes it, below a first line that says what it was made from."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import InvalidLock, Malformed, Problem
from esker.formats.conda.locked_package import LockedCondaPackage
from esker.formats.conda.specs import has_credentials, system_of_subdir
from esker.formats.conda.subdirs import SUBDIRS
from esker.formats.urls import redact
from esker.host import files
from esker.host.memory_file import descriptor_path, memory_file
from esker.host.rattler import require_rattler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rattler import RepoDataRecord
    from rattler.lock import LockFile

__all__ = ["CondaLock", "conda_lock_path", "is_in_conflict", "parse", "parse_text", "records", "render"]

_HEADER = re.compile(r'# esker: inputs = "(sha256:[0-9a-f]{64})"\n')
_HINT = "make it again: esker lock"
_LARGEST = 64 << 20
"""Bytes; a lock of 1000 packages for four systems has 3 MB."""
_CONFLICT = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)


class CondaLock(NamedTuple):
    """The packages of conda channels that an environment is locked for."""

    text: str
    """The file's text."""
    inputs: str | None
    """The digest of what it was made from (`CondaInputs.digest`); None if another tool has written it."""
    packages: Mapping[str, tuple[LockedCondaPackage, ...]]
    """By system, in the file's order."""

    def all_packages(self) -> Iterator[LockedCondaPackage]:
        """Yield the packages of every system."""
        for packages in self.packages.values():
            yield from packages


def conda_lock_path(dot_flox: str) -> str:
    """Return the path of the conda lock in a `.flox` directory."""
    return f"{dot_flox}/conda.lock"


def is_in_conflict(path: str) -> bool:
    """Return whether a merge of version control has left its marks in the file."""
    return os.path.exists(path) and _CONFLICT.search(_text(path)) is not None


def parse(path: str) -> CondaLock:
    """Read a conda lock; raises InvalidLock for what cannot be used, and HostError where rattler is missing."""
    return parse_text(_text(path), path)


def parse_text(text: str, path: str) -> CondaLock:
    """Read the text of a conda lock that is, or will be, at `path`, as `parse` does."""
    locked = _lock_file(text, path)
    environment = locked.default_environment()
    if environment is None:
        raise InvalidLock(path, [Problem("it has no environment named `default`", hint=_HINT)])
    header = _HEADER.match(text)
    packages: dict[str, tuple[LockedCondaPackage, ...]] = {}
    for platform in locked.platforms():
        system = system_of_subdir(platform.name)
        if system is None:
            raise InvalidLock(path, [Problem(f"`{platform.name}` is not a system of Esker's", hint=_HINT)])
        found = environment.packages(platform) or []
        if any(not hasattr(each, "repo_data_record") for each in found):
            raise InvalidLock(path, [Problem("it locks other things than packages of conda channels", hint=_HINT)])
        packages[system] = tuple(_package(each.repo_data_record(), path) for each in found)  # type: ignore[attr-defined]
    return CondaLock(text, header[1] if header else None, packages)


def records(lock: CondaLock, path: str) -> dict[str, list[RepoDataRecord]]:
    """Return the locked packages of each system as rattler knows them."""
    environment = _lock_file(lock.text, path).default_environment()
    found = environment.conda_repodata_records() if environment else {}
    return {system: list(found.get(SUBDIRS[system], [])) for system in lock.packages}


def render(digest: str, channels: Sequence[str], found: Mapping[str, Sequence[RepoDataRecord]]) -> str:
    """Return the text of a lock; `channels` are addresses, and `found` has the packages of each system."""
    from rattler.lock import LockChannel, LockFile, LockPlatform

    platforms = {system: LockPlatform(SUBDIRS[system]) for system in sorted(found)}
    lock = LockFile(list(platforms.values()))
    lock.set_channels("default", [LockChannel(channel) for channel in channels])
    for system, platform in platforms.items():
        for record in found[system]:
            lock.add_conda_package("default", platform, record)
    with open(memory_file(), encoding="utf-8") as file:
        lock.to_path(descriptor_path(file.fileno()))  # type: ignore[arg-type]
        return f'# esker: inputs = "{digest}"\n{file.read()}'


def _text(path: str) -> str:
    return files.read_text(path, InvalidLock, limit=_LARGEST)


def _lock_file(text: str, path: str) -> LockFile:
    require_rattler()
    from rattler.exceptions import ParseCondaLockError
    from rattler.lock import LockFile

    descriptor = memory_file(text)
    try:
        return LockFile.from_path(descriptor_path(descriptor))  # type: ignore[arg-type]
    except ParseCondaLockError as error:
        hint = "use a newer py-rattler, or " + _HINT if "newer lockfile" in str(error) else _HINT
        raise InvalidLock(path, [Problem(f"not a lock of conda packages: {redact(str(error))}", hint=hint)]) from error
    finally:
        os.close(descriptor)


def _package(record: RepoDataRecord, path: str) -> LockedCondaPackage:
    name, url = record.name.normalized, record.url
    if record.sha256 is None:
        raise InvalidLock(path, [Problem(f"`{name}` has no sha256", hint=_HINT)])
    if has_credentials(url):
        raise InvalidLock(path, [Problem(f"the address of `{name}` contains credentials", hint=_HINT)])
    try:
        return LockedCondaPackage(
            name=name,
            version=str(record.version),
            build=str(record.build),
            subdir=record.subdir,
            url=url,
            sha256=record.sha256.hex(),
            size=record.size,
            depends=tuple(record.depends),
        )
    except Malformed as error:
        raise InvalidLock(path, [Problem(error.message, hint=_HINT)]) from error
