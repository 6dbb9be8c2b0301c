"""What keeps store paths from being collected: links with their generations, services, and running processes.

A link, such as a project's run link, has a file `gcroots/<key>` in the store's state, the key made from the link's
own path. It lists the link's generations, oldest first. The link itself says which of them is current.
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
from esker.host import files
from esker.services.supervised.supervisor_record import kept_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from esker.store.store import Store

__all__ = ["Generation", "generations", "live", "rollback", "rooted", "switch"]

_IN_STORE = re.compile(rb"/store/([" + nixbase32.ALPHABET.encode() + rb"]{32}-[0-9A-Za-z+\-._?=]+)")


class Generation(NamedTuple):
    """One target that a link has had."""

    number: int
    """From 1, never used again."""
    path: str
    """Physical."""
    made_at: float
    """Seconds since the epoch."""
    current: bool


def switch(store: Store, link: str, path: str) -> None:
    """Point `link` at the valid `path` and root it; where both are so already, nothing is written.

    A path that is not the newest generation already becomes it. The link's directory is made. What is at `link` and is
    no link is refused.
    """
    link = _canonical(link)
    physical = store.physical(store.parse(path))
    if any(each.current and each.path == physical for each in _read(store, link)):
        return
    with store.using(), _locked(store, link):
        if not store.is_valid(physical):
            raise StoreError(f"`{link}` cannot point at `{physical}`, which is not valid")
        known = _read(store, link)
        if not known or known[-1].path != physical:
            number = known[-1].number + 1 if known else 1
            _write(store, link, (*known, Generation(number, physical, store.clock(), current=False)))
        _point(link, physical)


def rollback(store: Store, link: str, to: int | None = None) -> str:
    """Point `link` at generation `to`, or at the one before the current one, and return its path."""
    link = _canonical(link)
    with store.using(), _locked(store, link):
        known = _read(store, link)
        current = next((each.number for each in reversed(known) if each.current), None)
        if to is None:
            chosen = next((each for each in reversed(known) if current is None or each.number < current), None)
        else:
            chosen = next((each for each in known if each.number == to), None)
        kept = ", ".join(str(each.number) for each in known) or "none"
        if chosen is None:
            wanted = "no earlier generation" if to is None else f"no generation {to}"
            raise NotFound(f"`{link}` has {wanted}", hint=f"kept are: {kept}")
        if not store.is_valid(chosen.path):
            raise StoreError(f"generation {chosen.number} of `{link}` is not in the store any more: `{chosen.path}`")
        _point(link, chosen.path)
        return chosen.path


def generations(store: Store, link: str) -> tuple[Generation, ...]:
    """Return the generations of `link`, oldest first; none when it is not registered."""
    return _read(store, _canonical(link))


def rooted(store: Store, keep: int, *, forget: bool) -> set[str]:
    """Return the current and the newest `keep` targets of every link that still exists.

    What is not among them is taken off the registration if `forget`; for who holds the store alone.
    """
    found: set[str] = set()
    for link, known in _registered(store):
        newest = known[max(len(known) - keep, 0) :]
        kept = () if _is_gone(link) else tuple(each for each in known if each.current or each in newest)
        if forget and kept != known:
            _write(store, link, kept)
        found.update(each.path for each in kept)
    return found


def _is_gone(link: str) -> bool:
    """Whether there is no such link; one that cannot be looked at, as on a disk that does not answer, is not gone."""
    try:
        return not stat.S_ISLNK(os.lstat(link).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def live(store: Store, proc: str = "/proc") -> set[str]:
    """Return the store paths that services, and processes which this one may look into, use; they need not be valid.

    What services need stands in the locks of the environments whose links are registered: they may run as another
    user. Of a process are read its program, working directory, mapped files and variables, among these what FLOX_ENV,
    FLOX_ENV_DIRS and PATH lead to through links.
    """
    return _of_services(store) | _of_processes(store, proc)


def _of_services(store: Store) -> set[str]:
    found = set()
    for dot_flox in {os.path.dirname(os.path.dirname(link)) for link, _ in _registered(store)}:
        for path in kept_paths(dot_flox):
            with suppress(Malformed):  # another store's
                found.add(store.physical(store.parse(path)))
    return found


def _of_processes(store: Store, proc: str) -> set[str]:
    texts: set[bytes] = set()
    places: set[bytes] = set()
    for process in filter(str.isdecimal, os.listdir(proc)):
        for name in ("exe", "cwd"):
            with suppress(OSError):  # it has ended, or is somebody else's
                texts.add(os.fsencode(os.readlink(f"{proc}/{process}/{name}")))
        for name in ("maps", "environ"):
            with suppress(OSError), open(f"{proc}/{process}/{name}", "rb") as file:
                texts.add(content := file.read())
                if name == "environ":
                    for variable, _, value in (each.partition(b"=") for each in content.split(b"\0")):
                        if variable in {b"FLOX_ENV", b"FLOX_ENV_DIRS", b"PATH"}:
                            places.update(value.split(b":"))
    texts.update(os.path.realpath(place) for place in places if place.startswith(b"/"))
    # What another store's path of the same name keeps is kept here too: inside a namespace, names are all there is.
    return {f"{store.directory}/{name.decode()}" for text in texts for name in _IN_STORE.findall(text)}


def _canonical(link: str) -> str:
    """One spelling for each link: its directory without links, its own name as it is."""
    return os.path.join(os.path.realpath(os.path.dirname(link)), os.path.basename(link))


def _file(store: Store, link: str) -> str:
    return f"{store.state}/gcroots/{nixbase32.encode(sha256(os.fsencode(link)).digest()[:20])}"


def _locked(store: Store, link: str) -> AbstractContextManager[None]:
    return files.locked(f"{store.state}/locks/{os.path.basename(_file(store, link))}", error=StoreError)


def _point(link: str, physical: str) -> None:
    if os.path.lexists(link) and not os.path.islink(link):
        raise StoreError(f"`{link}` is not a link", hint="Esker will not replace it; move it away")
    with files.refused("make", os.path.dirname(link), StoreError):
        os.makedirs(os.path.dirname(link), exist_ok=True)
    if _target(link) != physical:
        files.replace_link(link, physical, error=StoreError)


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _read(store: Store, link: str) -> tuple[Generation, ...]:
    file = _file(store, link)
    return _parse(store, file)[1] if os.path.exists(file) else ()


def _parse(store: Store, file: str) -> tuple[str, tuple[Generation, ...]]:
    try:
        with files.refused("read", file, StoreError), open(file, "rb") as opened:
            data = json.load(opened)
        link = str(data["link"])
        listed = [(int(each["number"]), store.parse(each["path"]), float(each["time"])) for each in data["generations"]]
    except (ValueError, KeyError, TypeError, Malformed) as error:
        hint = f"remove `{file}` and activate the environment again"
        raise StoreError(f"the registration `{file}` is damaged", hint=hint) from error
    target = _target(link)
    paths = [store.physical(path) for _, path, _ in listed]
    current = len(paths) - 1 - paths[::-1].index(target) if target in paths else None
    return link, tuple(
        Generation(number, path, made_at, index == current)
        for index, ((number, _, made_at), path) in enumerate(zip(listed, paths, strict=True))
    )


def _registered(store: Store) -> Iterator[tuple[str, tuple[Generation, ...]]]:
    """Yield every registered link with its generations."""
    directory = f"{store.state}/gcroots"
    with files.refused("read", directory, StoreError):
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    for name in names:
        yield _parse(store, f"{directory}/{name}")


def _write(store: Store, link: str, kept: tuple[Generation, ...]) -> None:
    file = _file(store, link)
    if not kept:
        with files.refused("remove", file, StoreError):
            os.unlink(file)
        return
    listed = [{"number": each.number, "path": str(store.parse(each.path)), "time": each.made_at} for each in kept]
    data = {"version": 1, "link": link, "generations": listed}
    files.write(file, json.dumps(data, indent=1).encode() + b"\n", error=StoreError)
