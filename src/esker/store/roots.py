"""What keeps store paths from being collected: links with their generations, temporary roots, running processes.

What is known of each registered link, such as a project's run link, stands in a file of its own: see `registration`.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import Malformed, NotFound, StoreError
from esker.formats.nix import nixbase32
from esker.host import files
from esker.store import registration as registrations
from esker.store import temporary_roots
from esker.store.registration import Event, Generation, Registration, canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from esker.store.store import Store

__all__ = ["generations", "links_to", "live", "registered", "rollback", "rooted", "switch"]

_IN_STORE = re.compile(rb"/store/([" + nixbase32.ALPHABET.encode() + rb"]{32}-[0-9A-Za-z+\-._?=]+)")


def switch(
    store: Store,
    link: str,
    path: str,
    *,
    declared: str | None = None,
    description: str = "",
    directory: int | None = None,
) -> None:
    """Point `link` at the valid `path` and keep that path; does nothing if the link points there already.

    `declared` is a store path with what `path` was made from. Unless both are those of the newest generation of the
    link, they become a new one, with the `description` for people. `directory` is a descriptor of the link's directory,
    for links where somebody else could exchange it; without it, the directory is made if missing. Raises StoreError
    when something other than a link is at `link`.
    """
    link = canonical(link)
    physical = store.physical(store.parse(path))
    sources = None if declared is None else store.physical(store.parse(declared))
    now = registrations.read(store, link).current
    if now is not None and (now.path, now.declared) == (physical, sources) and not now.held:
        return
    with store.using(), _locked(store, link):
        if not store.is_valid(physical):
            raise StoreError(f"`{link}` cannot point at `{physical}`, which is not valid")
        before = registrations.read(store, link)
        known = tuple(each._replace(held=False) for each in before.generations)
        previous = before.current.number if before.current else None
        is_new = not known or (known[-1].path, known[-1].declared) != (physical, sources)
        if is_new:
            number = known[-1].number + 1 if known else 1
            known = (
                *known,
                Generation(
                    number,
                    physical,
                    store.clock(),
                    current=False,
                    declared=sources,
                    parent=previous,
                    description=description,
                ),
            )
        if known != before.generations:
            # Registered before the link points there: a kill in between must not leave a link that keeps nothing.
            time = known[-1].made_at if is_new else store.clock()
            event = Event(time, known[-1].number, previous, is_new)
            registrations.write(store, link, before._replace(generations=known).noted(event))
        _point(link, physical, directory)


def rollback(store: Store, link: str, to: int | None = None, *, directory: int | None = None) -> Generation:
    """Point `link` at generation `to`, or at the one that was current before this one, and return that generation.

    `directory` is as for `switch`.
    """
    link = canonical(link)
    with store.using(), _locked(store, link):
        before = registrations.read(store, link)
        chosen = _chosen(link, before, to)
        if not all(store.is_valid(path) for path in (chosen.path, chosen.declared) if path is not None):
            raise StoreError(
                f"generation {chosen.number} of `{link}` is not in the store any more: `{chosen.path}`",
                hint="choose another one: esker generations list",
            )
        held = tuple(each._replace(held=each.number == chosen.number) for each in before.generations)
        previous = before.current.number if before.current else None
        changed = before._replace(generations=held)
        if previous != chosen.number:
            changed = changed.noted(Event(store.clock(), chosen.number, previous, is_new=False))
        registrations.write(store, link, changed)
        _point(link, chosen.path, directory)
        return chosen._replace(held=True, current=True)


def _chosen(link: str, known: Registration, number: int | None) -> Generation:
    """Return the generation of that number, or the one that was current before this one; raises NotFound."""
    if number is None:
        number = _previous(known)
        missing = "no earlier generation"
    else:
        missing = f"no generation {number}"
    chosen = next((each for each in known.generations if each.number == number), None)
    if chosen is None:
        numbers = ", ".join(str(each.number) for each in known.generations) or "none"
        raise NotFound(f"`{link}` has {missing}", hint=f"the generations that are kept: {numbers}")
    return chosen


def _previous(known: Registration) -> int | None:
    """Return the number of the generation, of those that are kept, that was current before this one."""
    kept = {each.number for each in known.generations}
    current = known.current.number if known.current else None
    for event in reversed(known.events):
        for number in (event.generation, event.previous):
            if number in kept and number != current:
                return number
    # Of a registration without events: the one below.
    return max((number for number in kept if current is None or number < current), default=None)


def registered(store: Store, link: str) -> Registration:
    """Return what is known of `link`: its generations, and which of them were current when."""
    return registrations.read(store, canonical(link))


def generations(store: Store, link: str) -> tuple[Generation, ...]:
    """Return the generations of `link`, oldest first; an empty tuple when the link is not registered."""
    return registered(store, link).generations


def rooted(store: Store, keep: int, *, remove_stale: bool) -> set[str]:
    """Return the paths that temporary roots keep, and the current and newest `keep` targets of every existing link.

    With `remove_stale`, the other targets are deleted from the registrations and stale temporary roots are removed. The
    caller must then hold the store alone.
    """
    paths: set[str] = set()
    for path in temporary_roots.kept(store.root, remove_stale=remove_stale):
        with suppress(Malformed):  # not a path of this store
            paths.add(store.physical(store.parse(path)))
    for link, known in _every(store):
        newest = known.generations[max(len(known.generations) - keep, 0) :]
        kept = () if _is_gone(link) else tuple(each for each in known.generations if each.current or each in newest)
        if remove_stale and kept != known.generations:
            registrations.write(store, link, known._replace(generations=kept))
        if remove_stale:
            files.clear_link(link)
        paths.update(path for each in kept for path in (each.path, each.declared) if path is not None)
    return paths


def links_to(store: Store, paths: Collection[str]) -> list[str]:
    """Return the registered links that now lead to one of these physical paths, sorted."""
    return sorted(link for link, known in _every(store) if known.current is not None and known.current.path in paths)


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


def _locked(store: Store, link: str) -> AbstractContextManager[None]:
    name = os.path.basename(registrations.file_of(store, link))
    return files.locked(f"{store.state}/locks/{name}", error=StoreError)


def _point(link: str, physical: str, directory: int | None) -> None:
    if directory is None:
        with files.refused("make", os.path.dirname(link), StoreError):
            files.make_directory(os.path.dirname(link), mode=0o755)
    place = link if directory is None else os.path.basename(link)
    with suppress(FileNotFoundError):
        if not stat.S_ISLNK(os.lstat(place, dir_fd=directory).st_mode):
            raise StoreError(f"`{link}` is not a link", hint="Esker will not replace it: move it away")
    if registrations.target(place, directory) != physical:
        files.replace_link(link, physical, directory=directory, error=StoreError)


def _every(store: Store) -> Iterator[tuple[str, Registration]]:
    """Yield every registered link with what is known of it."""
    directory = f"{store.state}/gcroots"
    with files.refused("read", directory, StoreError):
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    for name in names:
        if name != os.path.basename(temporary_roots.DIRECTORY):
            yield registrations.parse(store, f"{directory}/{name}")
