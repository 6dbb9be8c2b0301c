"""An unpacked package: checks what it says of itself against what there is, and makes it fit for a store."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from typing import TYPE_CHECKING

from esker.errors import Malformed, RealisationFailed
from esker.formats.conda import package_info
from esker.formats.printable import printable
from esker.formats.untrusted import LARGEST
from esker.host import files, trees
from esker.realise.conda import byte_code_headers, contents
from esker.realise.conda.contents import Contents, Item
from esker.store.listing import LINK, Entry, Listing, file_entry, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.formats.conda.package_info import Index, ListedPath

__all__ = ["prepared"]

_ADVICE = "do not use that package: it may be an attack"


def prepared(directory: str, package: LockedCondaPackage) -> Listing:
    """Check the package that has been unpacked into `directory`, and return what the directory holds afterwards.

    What the package does not list is removed, its byte code no longer depends on times, and a file of ours says what it
    brings. Raises RealisationFailed, with the names of package and file, and OSError.
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
    trees.canonicalise(directory)
    entries = dict(listing(directory, {}).entries)
    data = contents.render(_contents(index, listed, entries, commands))
    os.chmod(f"{directory}/info", 0o755)  # noqa: S103  # the store makes it 0555
    with open(f"{directory}/{contents.FILE_NAME}", "xb") as file:
        file.write(data)
    entries[contents.FILE_NAME] = file_entry(f"{directory}/{contents.FILE_NAME}", {})
    return Listing(entries)


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
                    raise Malformed(f"`{printable(child.name)}` is neither a file nor a link", hint=_ADVICE)
    names = Counter((each.st_dev, each.st_ino) for each in statuses.values() if each.st_nlink > 1)
    for path, status in statuses.items():
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            if names[status.st_dev, status.st_ino] != status.st_nlink:
                raise Malformed(f"its file `{printable(path)}` is also one outside of the package", hint=_ADVICE)
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
        raise Malformed(f"its `info/{name}` has more than {LARGEST >> 20} MiB", hint=_ADVICE)
    return files.read(f"{directory}/info/{name}")


def _check_name(index: Index, package: LockedCondaPackage) -> None:
    said = f"{index.name}-{index.version}-{index.build}"
    if said != package.title:
        raise Malformed(f"it says of itself that it is `{printable(said)}`", hint=_ADVICE)


def _check_places(listed: Sequence[ListedPath], statuses: Mapping[str, os.stat_result]) -> None:
    """Raise Malformed if a listed path is not there, or leads through a link."""
    for path, is_directory, _ in listed:
        shown = printable(path)
        parts = path.split("/")
        if parts[0] == "info":
            raise Malformed(f"its file `{shown}` lies where a package describes itself", hint=_ADVICE)
        for depth in range(1, len(parts)):
            above = statuses.get("/".join(parts[:depth]))
            if above is not None and not stat.S_ISDIR(above.st_mode):
                raise Malformed(
                    f"its file `{shown}` would lie outside of the package: it is below a link", hint=_ADVICE
                )
        status = statuses.get(path)
        if is_directory and (status is None or stat.S_ISDIR(status.st_mode)):
            continue
        if status is None or stat.S_ISDIR(status.st_mode) or is_directory:
            raise Malformed(
                f"its file `{shown}` is not in it, although it lists that", hint="ask for another build of it"
            )


def _remove_unlisted(directory: str, statuses: Mapping[str, os.stat_result], listed: Collection[str]) -> None:
    for path, status in statuses.items():
        is_of_ours = path == contents.FILE_NAME
        if not stat.S_ISDIR(status.st_mode) and path not in listed and (is_of_ours or not path.startswith("info/")):
            os.unlink(f"{directory}/{path}")
    if stat.S_ISDIR(statuses.get(contents.FILE_NAME, statuses["info/index.json"]).st_mode):
        trees.remove_tree(f"{directory}/{contents.FILE_NAME}")


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
