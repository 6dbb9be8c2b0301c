"""Prefixes: the conda packages of an environment, linked into one store path.

Most files are hard links to those in the packages' own store paths, and read-only. A file with the placeholder is a
copy with the prefix's real path in it, so the prefix is made for the place that it lies in. Where the file system
allows no link, or no more of them, the file is copied, which shares its blocks where the file system can do that.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import AlteredFile, RealisationFailed, StoreError
from esker.formats.conda.subdirs import NOARCH, SUBDIRS
from esker.formats.counted import counted
from esker.formats.nix import store_path
from esker.formats.untrusted import json_value
from esker.host import files, trees
from esker.progress import Silent, reporting
from esker.realise.byte_code import compile_modules
from esker.realise.conda import python as conda_python
from esker.realise.conda.machine import check_machine
from esker.realise.conda.packages import is_as_made, unpacked_packages
from esker.realise.conda.placeholders import replaced
from esker.realise.conda.plan import METADATA, plan
from esker.store.listing import DIRECTORY, LINK, PROGRAM, Entry, Listing, altered, file_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rattler import Client

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.progress import Progress
    from esker.realise.conda.contents import Item
    from esker.realise.conda.packages import Unpacked
    from esker.realise.conda.plan import Plan
    from esker.realise.conda.python import CondaPython
    from esker.settings import Settings
    from esker.store.store import Store

__all__ = ["Prefix", "conda_prefix", "metadata"]

RECIPE = 1
"""Increase it whenever the same packages would give a different tree."""
_LONGEST_NAME = 30
"""Characters of a prefix's name: its path stands in the first lines of scripts, which have to be short."""
_WARNINGS = f"{METADATA}/esker-warnings"
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""Why a hard link cannot be made: another file system, too many links, a file system without links."""


class Prefix(NamedTuple):
    """The conda packages of an environment."""

    path: str
    """The physical store path."""
    warnings: tuple[str, ...]
    """What a person should know of them, such as that two packages bring one file."""


def conda_prefix(
    store: Store,
    name: str,
    packages: Sequence[LockedCondaPackage],
    client: Callable[[], Client],
    settings: Settings,
    progress: Progress | None = None,
) -> Prefix:
    """Return the prefix of `packages`, which are all for one system or for every system, making it if it is missing.

    Of a file that two packages bring, the later package's is taken. `client` gives what fetches; it is called only if
    something is missing. No script of a package is run, but if the packages have a Python for this system, it compiles
    the modules of others. Call it within `store.using()`. Raises RealisationFailed, HostError and StoreError.
    """
    is_native = any(each.name == "python" and each.subdir == SUBDIRS.get(settings.system) for each in packages)
    hashes = [[each.title, each.sha256] for each in packages]
    fingerprint = "conda-prefix:" + json.dumps([RECIPE, store.directory, is_native, hashes])
    title = f"{store_path.fitting(name)[:_LONGEST_NAME] or 'environment'}-conda"
    path = store.path(title, fingerprint)
    listener = progress or Silent()
    if not store.is_valid(path):
        _check_names(packages)
        if all(each.subdir in {NOARCH, SUBDIRS.get(settings.system)} for each in packages):
            check_machine(packages)

        def build(*, suspicious: bool) -> None:
            largest = settings.largest_wheel
            unpacked = unpacked_packages(store, packages, client, listener, largest=largest, suspicious=suspicious)

            def fill(directory: str) -> Listing:
                with reporting(listener):
                    listener.begin(f"Linking {counted(len(packages), 'conda package')}")
                    return _fill(directory, path, unpacked, settings.tools if is_native else None)

            store.build(title, fingerprint, fill, references={each.path for each in unpacked})

        try:
            build(suspicious=False)
        except AlteredFile:  # seen as the files are linked, because looking at all of them before takes as long
            build(suspicious=True)
    return Prefix(path, _warnings(path))


def _check_names(packages: Sequence[LockedCondaPackage]) -> None:
    names: set[str] = set()
    for package in packages:
        if package.name in names:
            message = f"the lock has the conda package `{package.name}` twice for one system"
            raise RealisationFailed(message, hint="lock anew: esker lock --upgrade")
        names.add(package.name)


def _warnings(path: str) -> tuple[str, ...]:
    try:
        return tuple(map(str, json_value(files.read(f"{path}/{_WARNINGS}", error=StoreError))))
    except (ValueError, TypeError) as error:
        raise StoreError(f"`{path}/{_WARNINGS}` is damaged", hint="esker store verify --repair") from error


def _fill(directory: str, prefix: str, packages: Sequence[Unpacked], variables: Mapping[str, str] | None) -> Listing:
    """Fill the directory, which will be the prefix, and return what it holds."""
    python = conda_python.find(packages)
    planned = plan(packages, python, prefix)
    records = metadata(planned, packages)
    entries = {}
    for path in sorted(planned.directories):
        os.mkdir(f"{directory}/{path}")
        entries[path] = Entry(DIRECTORY, "", 0)
    for path, place in planned.places.items():
        target, item = f"{directory}/{path}", place.item
        if path in records:
            continue
        if item.kind == LINK:
            os.symlink(item.value, target)
            entries[path] = Entry(LINK, item.value, 0)
        elif place.content is None and item.placeholder is None:
            _link(f"{packages[place.owner].path}/{place.source}", target, item)
            entries[path] = Entry(item.kind, item.value, item.size)
        else:
            content = place.content
            if content is None and item.placeholder is not None:
                content = replaced(
                    _content(f"{packages[place.owner].path}/{place.source}", item), item.placeholder, prefix
                )
            assert content is not None
            entries[path] = _write(target, content, is_program=item.kind == PROGRAM)
    if python is not None and variables is not None:
        entries |= _byte_code(directory, planned, packages, python, variables)
    for path, content in records.items():
        entries[path] = _write(f"{directory}/{path}", content)
    return Listing(entries)


def _content(path: str, item: Item) -> bytes:
    """Return what a file of a package holds; raises AlteredFile if it is not as it was made."""
    try:
        if not is_as_made(path, item):
            raise altered(path)
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise altered(path) from None


def _write(path: str, content: bytes, *, is_program: bool = False) -> Entry:
    with open(path, "xb") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o755 if is_program else 0o644)
    return Entry(PROGRAM if is_program else "file", sha256(content).hexdigest(), len(content))


def _link(source: str, target: str, item: Item) -> None:
    """Put a file of a package at a path where nothing is yet; raises AlteredFile if it is not as it was made."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise altered(source) from None
    except OSError as refusal:
        if refusal.errno not in _NO_LINK:
            raise
        if not is_as_made(source, item):  # a link has the times of its file, by which the store would notice
            raise altered(source) from None
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as original, open(target, "xb") as copy:
        try:
            while os.copy_file_range(original.fileno(), copy.fileno(), 1 << 30):
                pass
        except (OSError, AttributeError):  # not between these file systems, or not on this system
            original.seek(0)
            copy.seek(0)
            shutil.copyfileobj(original, copy)
        os.fchmod(copy.fileno(), os.fstat(original.fileno()).st_mode & 0o777)


def _byte_code(
    directory: str,
    planned: Plan,
    packages: Sequence[Unpacked],
    python: CondaPython,
    variables: Mapping[str, str],
) -> dict[str, Entry]:
    """Compile the modules that come without valid byte code: those for every Python, and those with a placeholder."""
    scratch = f"{directory}/.esker-{os.urandom(8).hex()}"
    chosen: dict[int, list[str]] = {}
    for path, place in planned.places.items():
        is_compiled = packages[place.owner].contents.is_python or place.item.placeholder is not None
        if path.endswith(".py") and path.startswith("lib/python") and is_compiled and place.item.kind != LINK:
            chosen.setdefault(place.owner, []).append(path)
    for owner, paths in chosen.items():
        for path in paths:
            os.makedirs(f"{scratch}/{owner}/{os.path.dirname(path)}", exist_ok=True)
            os.symlink(f"{directory}/{path}", f"{scratch}/{owner}/{path}")
    entries: dict[str, Entry] = {}
    if chosen:
        sources = [f"{scratch}/{owner}" for owner in chosen]
        try:
            compile_modules(sources, f"{directory}/{python.program}", variables)
            for source in sources:
                for path in trees.files_below(source):
                    if path.endswith(".pyc"):
                        entries |= _take(f"{source}/{path}", directory, path)
        finally:
            trees.remove_tree(scratch)
    return entries


def _take(compiled: str, directory: str, path: str) -> dict[str, Entry]:
    """Move byte code to its place in the prefix, and return what is there now."""
    above = os.path.dirname(path)
    entries = {}
    if not os.path.isdir(f"{directory}/{above}"):
        os.mkdir(f"{directory}/{above}")
        entries[above] = Entry(DIRECTORY, "", 0)
    os.replace(compiled, f"{directory}/{path}")
    entries[path] = file_entry(f"{directory}/{path}", {})
    return entries


def metadata(planned: Plan, packages: Sequence[Unpacked]) -> dict[str, bytes]:
    """Return the files that say which packages the prefix has, and what is theirs."""
    written = {_WARNINGS: json.dumps(planned.warnings, indent=1).encode() + b"\n"}
    for (package, _, _), paths in zip(packages, planned.files, strict=True):
        said = {"name": package.name, "version": package.version, "build": package.build, "sha256": package.sha256}
        content = json.dumps({**said, "files": paths}, indent=1).encode() + b"\n"
        written[f"{METADATA}/{package.title}.json"] = content
    return written
