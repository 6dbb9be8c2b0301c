"""The run links of a project, `.flox/run/<system>.<name>-<mode>`, which lead to its profile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.errors import StoreError
from esker.host import files
from esker.progress import Silent
from esker.realise.realise import realise
from esker.store import roots
from esker.store.built import BuiltStore
from esker.store.store import Store

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock
    from esker.settings import Settings
    from esker.store.roots import Generation

__all__ = ["Links", "check_installable", "is_linked", "rollback_in_force", "run_links"]


class Links(NamedTuple):
    """The run links of a project, and the profile that they will point at."""

    store: Store
    profile: str
    by_mode: dict[str, str]
    directory: int
    """A descriptor of the directory of the links."""

    def switch(self, *, keep_rollback: bool) -> None:
        """Point the links at the profile.

        With `keep_rollback`, a link stays as it is if the profile is its newest generation and a person has gone back
        to an older one.
        """
        for link in self.by_mode.values():
            if not (keep_rollback and _has_gone_back(self.store, link, self.profile)):
                roots.switch(self.store, link, self.profile, directory=self.directory)


def rollback_in_force(declaration: Declaration, settings: Settings) -> tuple[Generation, Generation] | None:
    """Return the generation that a person went back to, and the newest; None if the newest is in use."""
    link = run_links(declaration, settings.system)["dev"]
    generations = roots.generations(BuiltStore(settings.store_root), link)
    current = next((each for each in generations if each.current and each.held), None)
    return (current, generations[-1]) if current is not None and current != generations[-1] else None


def _has_gone_back(store: Store, link: str, profile: str) -> bool:
    """Return whether a person went back from `profile`, the newest generation of a run link, to one that is there."""
    generations = roots.generations(store, link)
    is_newest = bool(generations) and generations[-1].path == profile
    return is_newest and any(each.held and each.current and store.is_valid(each.path) for each in generations)


def run_links(declaration: Declaration, system: str) -> dict[str, str]:
    """Return the run link of each mode: `.flox/run/<system>.<name>-<mode>`."""
    stem = f"{declaration.dot_flox}/run/{system}.{declaration.name}"
    return {mode: f"{stem}-{mode}" for mode in plans.MODES}


def is_linked(declaration: Declaration, lock: Lock, store: BuiltStore, link: str, settings: Settings) -> bool:
    """Return whether the run link leads to the profile of the lock, or to an older one that a person went back to."""
    try:
        profile = realise(declaration, lock, store, settings.interpreters(), settings, progress=Silent())
    except StoreError:
        return False
    if not (os.path.islink(link) and os.path.exists(link)):
        return False
    return os.readlink(link) == profile or _has_gone_back(store, link, profile)


def check_installable(declaration: Declaration, settings: Settings) -> None:
    """Raise HostError or StoreError if nothing can be installed, because the store or `.flox/run` is read-only."""
    run = f"{declaration.dot_flox}/run"
    with files.refused("write", run):
        files.check_writable(run)
    Store(settings.store_root).check_writable()
