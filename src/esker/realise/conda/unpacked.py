"""An unpacked package: checks what it says of itself against what there is, and makes it fit for a store."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from typing import TYPE_CHECKING

from esker.errors import Malformed, RealisationFailed
from esker.formats.conda import package_info
from esker.formats.conda.package_info import ADVICE
from esker.formats.printable import printable
from esker.formats.untrusted import LARGEST
from esker.host import files
from esker.realise.conda import byte_code_headers, contents
from esker.realise.conda.contents import Contents, Item
from esker.store.listing import DIRECTORY, LINK, Entry, Listing, file_entry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.formats.conda.package_info import Index, ListedPath

__all__ = ["prepared"]


def prepared(directory: str, package: LockedCondaPackage) -> tuple[Contents, Listing]:
    """Check the package that has been unpacked into `directory`; return what it brings, and what the directory holds.

    What the package does not list is removed, and so are links, because only a prefix shows where they lead. Its byte
    code no longer depends on times. A file of ours says what the package brings, links included. Raises
    RealisationFailed, with the names of package and file, and OSError.
    """
    try:
        statuses = _statuses(directory)
        index = package_info.index(_info(directory, "index.json", statuses))
        _check_name(index, package)
        listed = package_info.listed_paths(_info(directory, "paths.json", statuses))
        has_commands = index.noarch == "python" and "info/link.json" in statuses
        commands = package_info.entry_points(_info(directory, "link.json", statuses)) if has_commands else ()
        _check_places(listed, statuses)
    except Malformed as error:
        raise RealisationFailed(f"the conda package `{package.title}`: {error.message}", hint=error.hint) from error
    _remove_unlisted(directory, statuses, {each.path for each in listed})
    replaced = {each.path for each in listed if each.placeholder}
    byte_code_headers.make_unchecked(directory, statuses, replaced)
    entries = {path: _entry(f"{directory}/{path}", status) for path, status in statuses.items()}
    brought = _contents(index, listed, entries, commands)
    for path in [path for path, entry in entries.items() if entry.kind == LINK]:
        os.unlink(f"{directory}/{path}")
        del entries[path]
    with open(f"{directory}/{contents.FILE_NAME}", "xb") as file:
        file.write(contents.render(brought))
    entries[contents.FILE_NAME] = file_entry(f"{directory}/{contents.FILE_NAME}", {})
    return brought, Listing(entries)


def _entry(path: str, status: os.stat_result) -> Entry:
    if stat.S_ISDIR(status.st_mode):
        return Entry(DIRECTORY, "", 0)
    return Entry(LINK, os.readlink(path), 0) if stat.S_ISLNK(status.st_mode) else file_entry(path, {})


def _statuses(directory: str) -> dict[str, os.stat_result]:
    """Return the status of everything below the directory by path; files with several names become several files.

    Raises Malformed for what no package may bring.
    """
    statuses: dict[str, os.stat_result] = {}
    pending = [""]
    while pending:
        below = pending.pop()
        os.chmod(f"{directory}/{below}", 0o755)  # noqa: S103  # it may be closed; the store makes it 0555
        with os.scandir(f"{directory}/{below}") as children:
            for child in children:
                status = statuses[f"{below}{child.name}"] = child.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{below}{child.name}/")
                elif not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
                    raise Malformed(f"`{printable(child.name)}` is neither a file nor a link", hint=ADVICE)
    names = Counter((each.st_dev, each.st_ino) for each in statuses.values() if each.st_nlink > 1)
    for path, status in statuses.items():
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            if names[status.st_dev, status.st_ino] != status.st_nlink:
                raise Malformed(f"its file `{printable(path)}` is also one outside of the package", hint=ADVICE)
            _separate(f"{directory}/{path}", status)
    return statuses


def _separate(path: str, status: os.stat_result) -> None:
    """Make the file at `path` one that has no other name."""
    copy = f"{os.path.dirname(path)}/.esker-{os.urandom(8).hex()}"
    shutil.copyfile(path, copy)
    os.chmod(copy, stat.S_IMODE(status.st_mode))
    os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    os.replace(copy, path)


def _info(directory: str, name: str, statuses: Mapping[str, os.stat_result]) -> bytes:
    """Return a file of `info`; raises Malformed if it is not there, no plain file, or too large."""
    status = statuses.get(f"info/{name}")
    if status is None or not stat.S_ISREG(status.st_mode) or not stat.S_ISDIR(statuses["info"].st_mode):
        raise Malformed(f"it has no file `info/{name}`", hint="ask for a newer build of it")
    if status.st_size > LARGEST:
        raise Malformed(f"its `info/{name}` has more than {LARGEST >> 20} MiB", hint=ADVICE)
    return files.read(f"{directory}/info/{name}")


def _check_name(index: Index, package: LockedCondaPackage) -> None:
    said = f"{index.name.lower()}-{index.version}-{index.build}"  # old packages have capital letters
    if said != f"{package.name.lower()}-{package.version}-{package.build}":
        raise Malformed(f"it says of itself that it is `{printable(said)}`", hint=ADVICE)


def _check_places(listed: Sequence[ListedPath], statuses: Mapping[str, os.stat_result]) -> None:
    """Raise Malformed if a listed path is not there, or leads through a link."""
    checked: set[str] = set()
    for path, is_directory, _ in listed:
        shown = printable(path)
        if path.partition("/")[0] == "info":
            raise Malformed(f"its file `{shown}` lies where a package describes itself", hint=ADVICE)
        above = os.path.dirname(path)
        while above and above not in checked:
            if above in statuses and not stat.S_ISDIR(statuses[above].st_mode):
                raise Malformed(f"its file `{shown}` would lie outside of the package: it is below a link", hint=ADVICE)
            checked.add(above)
            above = os.path.dirname(above)
        status = statuses.get(path)
        if is_directory and (status is None or stat.S_ISDIR(status.st_mode)):
            continue
        if status is None or stat.S_ISDIR(status.st_mode) or is_directory:
            raise Malformed(
                f"its file `{shown}` is not in it, although it lists that", hint="ask for another build of it"
            )


def _remove_unlisted(directory: str, statuses: dict[str, os.stat_result], listed: Collection[str]) -> None:
    """Remove what is not installed, and what has the name of our file."""
    for path, status in [*statuses.items()]:
        is_kept = path in listed or (path.startswith("info/") and path != contents.FILE_NAME)
        if not stat.S_ISDIR(status.st_mode) and not is_kept:
            os.unlink(f"{directory}/{path}")
            del statuses[path]


def _contents(
    index: Index,
    listed: Sequence[ListedPath],
    entries: Mapping[str, Entry],
    commands: tuple[package_info.EntryPoint, ...],
) -> Contents:
    items = {}
    for path, is_directory, placeholder in sorted(listed, key=lambda each: each.path):
        if not is_directory:
            kind, value, size = entries[path]
            items[path] = Item(kind, value, size, placeholder if kind != LINK else None)
    directories = sorted(path for path, is_directory, _ in listed if is_directory)
    return Contents(items, tuple(directories), index.noarch == "python", commands, index.site_packages)
