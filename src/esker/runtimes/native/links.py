"""The run links of a project, `.flox/run/<system>.<name>-<mode>`, which lead to its profile."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.declare import project_directory
from esker.declare.generations import MANIFEST, find, kept_path, run_link
from esker.errors import StoreError
from esker.host import files
from esker.lock.lock_files import lock_paths
from esker.progress import Silent
from esker.realise.realise import realise
from esker.runtimes.native.differences import difference
from esker.runtimes.native.project_lock import alone
from esker.store import roots
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock, LockFile
    from esker.settings import Settings
    from esker.store.built import BuiltStore
    from esker.store.registration import Generation

__all__ = ["Links", "Made", "check_installable", "forget_plans", "go_to", "is_linked", "run_links"]


class Made(NamedTuple):
    """What a profile is made from: the text of the manifest, and the lock with the contents of its files."""

    manifest: str
    lock: Lock
    contents: Mapping[LockFile, bytes | None]

    def files(self, declaration: Declaration) -> dict[str, bytes]:
        """Return the files that a generation keeps, by their paths below `.flox`."""
        paths = lock_paths(declaration)
        locks = {os.path.relpath(paths[kind], declaration.dot_flox): text for kind, text in self.contents.items()}
        return {MANIFEST: self.manifest.encode(), **{path: text for path, text in locks.items() if text is not None}}


class Links(NamedTuple):
    """The run links of a project, and the profile that they will point at."""

    declaration: Declaration
    store: Store
    profile: str
    kept: str
    """The store path with what the profile was made from."""
    lock: Lock
    by_mode: dict[str, str]
    directory: int
    """A descriptor of the directory of the links."""

    def switch(self, *, keep_rollback: bool) -> Generation | None:
        """Point the links at the profile; it becomes a generation, unless it is the newest already.

        With `keep_rollback`, they lead to an older generation if this is the newest one and a person has gone back from
        it. Then that generation is returned.
        """
        newest, *others = self.by_mode.values()
        earlier = _gone_back_to(self.store, newest, self.profile, self.kept) if keep_rollback else None
        if earlier is None:
            description = self._description(newest)
            roots.switch(
                self.store,
                newest,
                self.profile,
                declared=self.kept,
                description=description,
                directory=self.directory,
            )
        for link in others:
            roots.switch(self.store, link, earlier.path if earlier else self.profile, directory=self.directory)
        return earlier

    def _description(self, link: str) -> str:
        known = roots.generations(self.store, link)
        if known and known[-1].declared == self.kept:
            return known[-1].description
        return difference(known[-1] if known else None, self.declaration, self.lock)


def go_to(declaration: Declaration, settings: Settings, number: int | None) -> Generation:
    """Point the run links of a project at generation `number`, or at the one that was live before; return it.

    Its plans are removed first, so that the next activation works out what the generation says.
    """
    store = Store(settings.store_root)
    newest, *others = run_links(declaration, settings.system).values()
    with alone(declaration.project):
        if number is not None:
            find(declaration.project, settings, number)
        with project_directory.writable(declaration.dot_flox, "run", mode=0o755) as directory:
            forget_plans(declaration)
            generation = roots.rollback(store, newest, number, directory=directory)
            for link in others:
                roots.switch(store, link, generation.path, directory=directory)
    return generation


def _gone_back_to(store: Store, link: str, profile: str, kept: str) -> Generation | None:
    """Return the generation that a person went back to from the newest one, which has this `profile` and is `kept`."""
    generations = roots.generations(store, link)
    if not generations or (generations[-1].path, generations[-1].declared) != (profile, kept):
        return None
    earlier = next((each for each in generations[:-1] if each.held and each.current), None)
    return earlier if earlier is not None and store.is_valid(earlier.path) else None


def run_links(declaration: Declaration, system: str) -> dict[str, str]:
    """Return the run link of each mode: `.flox/run/<system>.<name>-<mode>`; the first one's has the generations."""
    return {mode: run_link(declaration.project, declaration.name, system, mode) for mode in plans.MODES}


def is_linked(declaration: Declaration, made: Made, store: BuiltStore, link: str, settings: Settings) -> bool:
    """Return whether the run link leads to the profile of the lock, or to an older one that a person went back to."""
    try:
        profile = realise(declaration, made.lock, store, settings.interpreters(), settings, progress=Silent())
    except StoreError:
        return False
    if not (os.path.islink(link) and os.path.exists(link)):
        return False
    kept = kept_path(store, declaration.name, made.files(declaration), profile)
    newest = next(iter(run_links(declaration, settings.system).values()))
    earlier = _gone_back_to(store, newest, profile, kept)
    return os.readlink(link) == (earlier.path if earlier else profile)


def forget_plans(declaration: Declaration) -> None:
    """Remove the plans of a project, because something has changed that their fingerprints do not show."""
    with project_directory.writable(declaration.dot_flox, "cache", "esker") as directory:
        for path in (plans.plan_path(declaration.project, mode) for mode in plans.MODES):
            with files.refused("remove", path), suppress(FileNotFoundError):
                os.unlink(os.path.basename(path), dir_fd=directory)


def check_installable(declaration: Declaration, settings: Settings) -> None:
    """Raise HostError or StoreError if nothing can be installed, because the store or `.flox/run` is read-only."""
    run = f"{declaration.dot_flox}/run"
    with files.refused("write", run):
        files.check_writable(run)
    Store(settings.store_root).check_writable()
