"""What keeps store paths from being collected: links with their generations, temporary roots, running processes.

Each registered link, such as a project's run link, has a file `gcroots/<key>` in the store's state. The key is made
from the link's own path. The file lists the link's generations, oldest first. The link itself shows which one is
current.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, NotFound, StoreError
from esker.formats.nix import nixbase32
from esker.formats.untrusted import json_value
from esker.host import files
from esker.store import temporary_roots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from esker.store.store import Store

__all__ = ["Generation", "generations", "links_to", "live", "rollback", "rooted", "switch"]

_IN_STORE = re.compile(rb"/store/([" + nixbase32.ALPHABET.encode() + rb"]{32}-[0-9A-Za-z+\-._?=]+)")


class Generation(NamedTuple):
    """One target that a link has or had."""

    number: int
    """Counts from 1; a newer generation has a higher number."""
    path: str
    """Physical."""
    made_at: float
    """Seconds since the epoch."""
    current: bool
    held: bool = False
    """Whether a person went back to it, so that only a new lock leaves it."""


def switch(store: Store, link: str, path: str, *, directory: int | None = None) -> None:
    """Point `link` at the valid `path` and keep that path; does nothing if the link points there already.

    Unless `path` is the newest generation of the link, it becomes a new one. `directory` is a descriptor of the link's
    directory, for links where somebody else could exchange it; without it, the directory is made if missing. Raises
    StoreError when something other than a link is at `link`.
    """
    link = _canonical(link)
    physical = store.physical(store.parse(path))
    if any(each.current and each.path == physical and not each.held for each in _read(store, link)):
        return
    with store.using(), _locked(store, link):
        if not store.is_valid(physical):
            raise StoreError(f"`{link}` cannot point at `{physical}`, which is not valid")
        registered = _read(store, link)
        known = tuple(each._replace(held=False) for each in registered)
        if not known or known[-1].path != physical:
            number = known[-1].number + 1 if known else 1
            known = (*known, Generation(number, physical, store.clock(), current=False))
        if known != registered:
            # Registered before the link points there: a kill in between must not leave a link that keeps nothing.
            _write(store, link, known)
        _point(link, physical, directory)


def rollback(store: Store, link: str, to: int | None = None, *, directory: int | None = None) -> str:
    """Point `link` at generation `to`, or at the one before the current one, and return its path.

    `directory` is as for `switch`.
    """
    link = _canonical(link)
    with store.using(), _locked(store, link):
        registered = _read(store, link)
        current = next((each.number for each in reversed(registered) if each.current), None)
        if to is None:
            chosen = next((each for each in reversed(registered) if current is None or each.number < current), None)
        else:
            chosen = next((each for each in registered if each.number == to), None)
        if chosen is None:
            missing = "no earlier generation" if to is None else f"no generation {to}"
            numbers = ", ".join(str(each.number) for each in registered) or "none"
            raise NotFound(f"`{link}` has {missing}", hint=f"the generations that are kept: {numbers}")
        if not store.is_valid(chosen.path):
            raise StoreError(f"generation {chosen.number} of `{link}` is not in the store any more: `{chosen.path}`")
        _write(store, link, tuple(each._replace(held=each.number == chosen.number) for each in registered))
        _point(link, chosen.path, directory)
        return chosen.path


def generations(store: Store, link: str) -> tuple[Generation, ...]:
    """Return the generations of `link`, oldest first; an empty tuple when the link is not registered."""
    return _read(store, _canonical(link))


def rooted(store: Store, keep: int, *, remove_stale: bool) -> set[str]:
    """Return the paths that temporary roots keep, and the current and newest `keep` targets of every existing link.

    With `remove_stale`, the other targets are deleted from the registrations and stale temporary roots are removed. The
    caller must then hold the store alone.
    """
    paths: set[str] = set()
    for path in temporary_roots.kept(store.root, remove_stale=remove_stale):
        with suppress(Malformed):  # not a path of this store
            paths.add(store.physical(store.parse(path)))
    for link, registered in _registered(store):
        newest = registered[max(len(registered) - keep, 0) :]
        kept = () if _is_gone(link) else tuple(each for each in registered if each.current or each in newest)
        if remove_stale and kept != registered:
            _write(store, link, kept)
        if remove_stale:
            files.clear_link(link)
        paths.update(generation.path for generation in kept)
    return paths


def links_to(store: Store, paths: Collection[str]) -> list[str]:
    """Return the registered links that now lead to one of these physical paths, sorted."""
    registered = _registered(store)
    return sorted(link for link, each in registered if any(it.current and it.path in paths for it in each))


def _is_gone(link: str) -> bool:
    """Return whether the link no longer exists; False if that cannot be told, for instance on a disk with errors."""
    try:
        return not stat.S_ISLNK(os.lstat(link).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def live(store: Store, proc: str = "/proc") -> set[str]:
    """Return the store paths that running processes use, valid or not; processes of other users may not be readable.

    It looks at each process's program, working directory, mapped files and variables. For FLOX_ENV, FLOX_ENV_DIRS and
    PATH it also follows links. `proc` is where the proc file system is mounted.
    """
    texts: set[bytes] = set()
    links: set[bytes] = set()
    for process in filter(str.isdecimal, os.listdir(proc)):
        for name in ("exe", "cwd"):
            with suppress(OSError):  # the process has ended, or belongs to another user
                texts.add(os.fsencode(os.readlink(f"{proc}/{process}/{name}")))
        for name in ("maps", "environ"):
            with suppress(OSError), open(f"{proc}/{process}/{name}", "rb") as file:
                texts.add(content := file.read())
                if name == "environ":
                    for variable, _, value in (item.partition(b"=") for item in content.split(b"\0")):
                        if variable in {b"FLOX_ENV", b"FLOX_ENV_DIRS", b"PATH"}:
                            links.update(value.split(b":"))
    texts.update(os.path.realpath(link) for link in links if link.startswith(b"/"))
    # Inside a namespace every store shows as /nix/store, so only the name is compared. A process that uses a path of
    # another store therefore also keeps the path of the same name in this one.
    return {f"{store.directory}/{name.decode()}" for text in texts for name in _IN_STORE.findall(text)}


def _canonical(link: str) -> str:
    """Return the one spelling that a link is registered under: its directory resolved, its own name unchanged."""
    return os.path.join(os.path.realpath(os.path.dirname(link)), os.path.basename(link))


def _file(store: Store, link: str) -> str:
    return f"{store.state}/gcroots/{nixbase32.encode(sha256(os.fsencode(link)).digest()[:20])}"


def _locked(store: Store, link: str) -> AbstractContextManager[None]:
    return files.locked(f"{store.state}/locks/{os.path.basename(_file(store, link))}", error=StoreError)


def _point(link: str, physical: str, directory: int | None) -> None:
    if directory is None:
        with files.refused("make", os.path.dirname(link), StoreError):
            files.make_directory(os.path.dirname(link), mode=0o755)
    place = link if directory is None else os.path.basename(link)
    with suppress(FileNotFoundError):
        if not stat.S_ISLNK(os.lstat(place, dir_fd=directory).st_mode):
            raise StoreError(f"`{link}` is not a link", hint="Esker will not replace it: move it away")
    if _target(place, directory) != physical:
        files.replace_link(link, physical, directory=directory, error=StoreError)


def _target(link: str, directory: int | None = None) -> str | None:
    try:
        return os.readlink(link, dir_fd=directory)
    except OSError:
        return None


def _read(store: Store, link: str) -> tuple[Generation, ...]:
    file = _file(store, link)
    return _parse(store, file)[1] if os.path.exists(file) else ()


def _parse(store: Store, file: str) -> tuple[str, tuple[Generation, ...]]:
    remedy = f"remove `{file}` and activate the environment again"
    try:
        data = json_value(files.read(file, error=StoreError, remedy=remedy))
        link = str(data["link"])
        generations = data["generations"]
        listed = [(int(each["number"]), store.parse(str(each["path"])), float(each["time"])) for each in generations]
        held = data.get("held")
        target = _target(link)
    except (ValueError, OverflowError, KeyError, TypeError, Malformed) as error:
        raise StoreError(f"the registration `{file}` is damaged", hint=remedy) from error
    paths = [store.physical(path) for _, path, _ in listed]
    current = len(paths) - 1 - paths[::-1].index(target) if target in paths else None
    return link, tuple(
        Generation(number, path, made_at, current=index == current, held=number == held)
        for index, ((number, _, made_at), path) in enumerate(zip(listed, paths, strict=True))
    )


def _registered(store: Store) -> Iterator[tuple[str, tuple[Generation, ...]]]:
    """Yield every registered link with its generations."""
    directory = f"{store.state}/gcroots"
    with files.refused("read", directory, StoreError):
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    for name in names:
        if name != os.path.basename(temporary_roots.DIRECTORY):
            yield _parse(store, f"{directory}/{name}")


def _write(store: Store, link: str, kept: tuple[Generation, ...]) -> None:
    file = _file(store, link)
    if not kept:
        with files.refused("remove", file, StoreError):
            os.unlink(file)
        return
    listed = [{"number": each.number, "path": str(store.parse(each.path)), "time": each.made_at} for each in kept]
    held = next((each.number for each in kept if each.held), None)
    data = {"version": 1, "link": link, "generations": listed, "held": held}
    files.write(file, json.dumps(data, indent=1).encode() + b"\n", error=StoreError)
