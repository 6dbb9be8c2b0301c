"""An interpreter for an image from where uv takes its Pythons: one archive for each system, locked by its hash.

uv knows the addresses, and not for every file a hash that we could ask it for. So the hash is computed when an archive
is fetched for the first time, and stands in `.flox/image.lock` from then on: whatever else comes from that address, or
from a mirror, is refused. The interpreter finds its libraries beside itself, so it can lie anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tarfile
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from esker.errors import CommandFailed, HostError, ImageError
from esker.formats.image_lock import LockedInput
from esker.formats.oci.platform import platform_of
from esker.formats.untrusted import json_value
from esker.formats.urls import redact
from esker.host import trees
from esker.host.download import download
from esker.host.uv import uv_output
from esker.progress import reporting
from esker.realise.byte_code import compile_modules
from esker.ship.content.places import INTERPRETER
from esker.ship.image.unit import File, SymbolicLink, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.ship.content.compiler import Compiler
    from esker.ship.content.making import Making
    from esker.ship.image.unit import Entry

__all__ = ["Archive", "Standalone", "chosen_archive", "standalone"]

RECIPE = 1
"""Increase it whenever the same archive would give other bytes."""
_KIND, _NAME = "python", "cpython"
_VERSION = re.compile(r"cpython-(\d+\.\d+\.\d+)[+%]")
_ORIGIN = re.compile(r"https://\S+?/releases/download/")
_MIRROR = "UV_PYTHON_INSTALL_MIRROR"
_OTHERS = "take conda's: esker install conda/python; or that of a base: `from` and `python` of [plugins.esker.image]"
"""Where a Python comes from if it is not one of uv's."""
_TOP = "python/"
"""The directory in which an archive has everything."""


class Archive(NamedTuple):
    """The archive of an interpreter."""

    locked: LockedInput
    version: str
    path: str | None
    """Where it lies if it has been fetched."""


class Standalone(NamedTuple):
    """An interpreter in the store."""

    path: str
    version: str

    @property
    def program(self) -> str:
        """Its place in the image."""
        return f"{INTERPRETER}/bin/python{'.'.join(self.version.split('.')[:2])}"

    def unit(self) -> Unit:
        """Return the interpreter as a unit."""
        files = sorted(trees.files_below(self.path))
        size = sum(os.lstat(f"{self.path}/{path}").st_size for path in files)
        key = hashlib.sha256(json.dumps([RECIPE, INTERPRETER, os.path.basename(self.path)]).encode()).hexdigest()
        return Unit("esker/python", key, size, partial(_entries, self.path), version=self.version)


def chosen_archive(making: Making, system: str, specifier: str, directory: str) -> Archive:
    """Return the archive that is locked for a system, else the newest one that satisfies the specifier.

    To learn its hash it is fetched into `directory`. Raises ImageError and HostError.
    """
    platform, versions = str(platform_of(system)), SpecifierSet(specifier)
    for each in making.inputs:
        if (each.kind, each.name, each.platform) == (_KIND, _NAME, platform) and versions.contains(_version(each.url)):
            return Archive(each, _version(each.url), None)
    making.require_pin(f"a Python for {system}")
    url = _address(making, system, versions, directory)
    path = f"{directory}/archive"
    _fetch(making, url, path)
    locked = LockedInput(kind=_KIND, name=_NAME, platform=platform, url=url, hash=f"sha256:{_hash(path)}")
    return Archive(locked, _version(url), path)


def standalone(making: Making, archive: Archive, directory: str, compiler: Compiler | None) -> Standalone:
    """Return an interpreter in the store, whose modules are compiled unless `compiler` is None.

    If it has to be fetched, that is done in `directory`. Raises ImageError and HostError.
    """
    locked, version, fetched = archive
    key = [RECIPE, locked.hash, compiler.key if compiler else None]

    def fill(target: str) -> None:
        path = fetched or f"{directory}/archive"
        if fetched is None:
            _fetch(making, locked.url, path)
            found = f"sha256:{_hash(path)}"
            if locked.hash != found:
                raise ImageError(
                    f"`{redact(locked.url)}` gave a file with the hash {found}, and {locked.hash} is locked",
                    hint="do not use that file; if it was meant to change, take it out of .flox/image.lock",
                )
        _unpack(path, target, locked.url)
        if compiler is not None:
            library = f"{target}/lib/python{'.'.join(version.split('.')[:2])}"
            compile_modules([library], compiler.executable, compiler.variables)

    path = making.store.build(f"cpython-{version}", "standalone-python:" + json.dumps(key), fill)
    return Standalone(path, version)


def _version(url: str) -> str:
    match = _VERSION.search(url)
    return match[1] if match else "0"


def _variables(making: Making) -> Mapping[str, str]:
    downloads = making.settings.interpreters(making.progress).downloads
    if downloads is None:
        raise ImageError(
            "the image has wheels and no Python that runs them, and fetching one is forbidden here "
            f"(`{making.settings.no_downloads}`)",
            hint=f"allow it; or {_OTHERS}",
        )
    return downloads.variables


def _address(making: Making, system: str, versions: SpecifierSet, directory: str) -> str:
    """Return the address of the newest CPython that uv knows for a system."""
    machine = system.partition("-")[0]
    every = ["--all-platforms", "--all-arches", "--all-versions"]  # a platform alone means this machine's architecture
    command = ["python", "list", *every, "--only-downloads", "--output-format", "json"]
    variables = {name: value for name, value in _variables(making).items() if name != _MIRROR}  # which the lock omits
    try:
        listed = json_value(uv_output(command, variables, cwd=directory).encode())
        offers = [
            (tuple(map(int, each["version"].split("."))), str(each["url"]))
            for each in listed
            if (each["implementation"], each["variant"], each["os"], each["arch"], each["libc"])
            == ("cpython", "default", "linux", machine, "gnu")
            and re.fullmatch(r"\d+\.\d+\.\d+", each["version"])
            and versions.contains(each["version"])
        ]
    except (CommandFailed, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(f"uv did not list its Pythons: {error}", hint="check UV_PYTHON_DOWNLOADS_JSON_URL") from error
    if not offers:
        raise ImageError(
            f"the image has wheels, and uv knows no Python {versions or 'at all'} for {system} that could run them",
            hint=_OTHERS,
        )
    return max(offers)[1]


def _fetch(making: Making, url: str, path: str) -> None:
    mirror = _variables(making).get(_MIRROR)
    source = f"{mirror.rstrip('/')}/{_ORIGIN.sub('', url)}" if mirror and _ORIGIN.match(url) else url
    with reporting(making.progress):
        making.progress.begin(f"Fetching Python {_version(url)}")
        if source.startswith("file://"):
            from urllib.request import url2pathname

            try:
                shutil.copyfile(url2pathname(source.removeprefix("file://")), path)
            except OSError as error:
                raise HostError(f"`{source}` cannot be read: {error.strerror}", hint=f"check {_MIRROR}") from error
        else:
            try:
                download(source, path, largest=making.settings.largest_wheel)
            except HostError as error:
                error.hint = f"{error.hint}; or {_OTHERS}" if error.hint else _OTHERS
                raise
        making.progress.finish(f"Python {_version(url)}, for the image")


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(path: str, directory: str, url: str) -> None:
    """Unpack what is below `_TOP`. `tarfile` refuses paths that lead out since Python 3.11.4 alone, so we do it."""
    root = os.path.realpath(directory)
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.startswith(_TOP):
                    _unpack_member(archive, member, root)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ImageError(f"`{redact(url)}` is no archive of a Python: {error}", hint="check the mirror") from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> None:
    """Write a file, directory or link below `root`; raises tarfile.TarError for one that leads out, and other kinds."""
    path = _inside(root, member.name.removeprefix(_TOP), member)
    if member.isdir():
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if member.issym():
        _inside(root, os.path.join(os.path.dirname(member.name.removeprefix(_TOP)), member.linkname), member)
        os.symlink(member.linkname, path)
    elif member.islnk():
        os.link(_inside(root, member.linkname.removeprefix(_TOP), member), path, follow_symlinks=False)
    else:
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            raise tarfile.TarError(f"`{member.name}` is neither a file, a directory nor a link")
        with open(path, "xb") as file:
            shutil.copyfileobj(content, file)
        os.chmod(path, 0o755 if member.mode & stat.S_IXUSR else 0o644)


def _inside(root: str, name: str, member: tarfile.TarInfo) -> str:
    """Return the path of a name below `root`; raises tarfile.TarError if it leads out, also through a link."""
    path = os.path.normpath(os.path.join(root, name))
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if path != root and not (path.startswith(f"{root}/") and real.startswith(f"{root}/")):
        raise tarfile.TarError(f"`{member.name}` leads out of the archive")
    return path


def _entries(tree: str) -> Iterator[Entry]:
    for path in trees.files_below(tree):
        source, target = f"{tree}/{path}", f"{INTERPRETER}/{path}"
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            yield SymbolicLink(target, os.readlink(source))
        else:
            yield File(target, source, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
