"""What the first activation after a change does: lock if stale, realise, link, and write the plan for the next ones."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.activate.allocation import allocate
from esker.declare import project_directory
from esker.declare.known_environments import remember
from esker.declare.load import load
from esker.errors import StaleLock
from esker.formats.manifest import Manifest, MinimumVersion, vars_in_order
from esker.host import files
from esker.host.certificates import certificate_bundle
from esker.host.interpreters import Interpreters
from esker.host.runtime_directory import environment_name
from esker.lock.resolve import Lock, check_build, check_composed, make_lock, read_lock, write_lock
from esker.lock.staleness import staleness
from esker.progress import Progress, Silent
from esker.realise.realise import realise
from esker.store import roots
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = [
    "MODES",
    "Links",
    "alone",
    "forget_plans",
    "lock_project",
    "prepare_anew",
    "realised",
    "run_links",
]

MODES = ("dev", "run")


def prepare_anew(
    project: str,
    settings: Settings,
    *,
    mode: str | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Lock, realise and link `project` as far as it is not done yet, and return the plan, which is written too."""
    listener = progress or Silent()
    plans.check_path(project)  # before the work, which may be long
    with alone(project):
        plan = plans.warm(project, settings.choices, mode)
        if plan is not None:  # whoever held the lock before us has done it
            return plan
        before = plans.fingerprints(f"{project}/.flox/{name}" for name in ("env.json", "env/manifest.toml"))
        declaration = load(project)
        before += plans.fingerprints(_named_files(declaration))
        interpreters = Interpreters(settings.tools, settings.python)
        lock, is_new = lock_project(declaration, settings, interpreters, locked=locked, progress=listener)
        with realised(declaration, lock, settings, interpreters, progress=listener) as links:
            links.switch(keep_rollback=not is_new)
        remember(project, settings)
        chosen = mode or _declared_mode(declaration)
        plan = _plan(declaration, chosen, links.by_mode[chosen], before, settings)
        plans.write(plan, plans.plan_path(project, chosen))
        _hand_over(declaration)
        return plan


def _hand_over(declaration: Declaration) -> None:
    """Give the files that root has made in somebody's project to its owner, who could not work in it any more.

    Where a link leads out of the project, what is there is nobody's to give.
    """
    top = declaration.dot_flox
    owner = os.stat(top)
    if os.geteuid() or not owner.st_uid:
        return
    for path in ("cache/esker/prepare.lock", "cache/esker/ports.json", "env/manifest.lock", "pylock.toml"):
        *above, name = path.split("/")
        with suppress(OSError), project_directory.opened(top, *above) as directory:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            try:
                project_directory.give(descriptor, owner)
            finally:
                os.close(descriptor)


def lock_project(
    declaration: Declaration,
    settings: Settings,
    interpreters: Interpreters,
    *,
    locked: bool = False,
    upgrade: bool = False,
    progress: Progress,
) -> tuple[Lock, bool]:
    """Return the lock of a declaration, and whether it is new: a current one is kept, a new one is written.

    With `locked`, a stale one is refused (`StaleLock`); with `upgrade`, nothing stays pinned.
    """
    check_composed(declaration)
    current = None if upgrade else read_lock(declaration)
    stale = staleness(declaration, current, settings.system, settings.indexes)
    if current is not None and not stale.reasons:
        return current, False
    if locked:
        raise StaleLock(
            "the lock does not say what the manifest says", reasons=stale.reasons, hint="make it again: esker lock"
        )
    check_build(declaration, settings)
    lock = make_lock(declaration, current, stale.inputs, interpreters, settings, progress=progress)
    write_lock(declaration, lock)
    return lock, True


class Links(NamedTuple):
    """The run links of a project, and the profile that they are to point at."""

    store: Store
    profile: str
    by_mode: dict[str, str]

    def switch(self, *, keep_rollback: bool) -> None:
        """Point the links at the profile; with `keep_rollback`, not those that a person took back from exactly it."""
        for link in self.by_mode.values():
            known = roots.generations(self.store, link)
            gone_back = bool(known) and known[-1].path == self.profile and any(each.current for each in known[:-1])
            if not (keep_rollback and gone_back):
                roots.switch(self.store, link, self.profile)


def forget_plans(declaration: Declaration) -> None:
    """Let the next activation make its plan anew, because something has changed that no file says."""
    for path in (plans.plan_path(declaration.project, mode) for mode in MODES):
        with files.refused("remove", path), suppress(FileNotFoundError):
            os.unlink(path)


def run_links(declaration: Declaration, system: str) -> dict[str, str]:
    """Return the run link of each mode: `.flox/run/<system>.<name>-<mode>`."""
    stem = f"{declaration.dot_flox}/run/{system}.{declaration.name}"
    return {mode: f"{stem}-{mode}" for mode in MODES}


@contextmanager
def realised(
    declaration: Declaration, lock: Lock, settings: Settings, interpreters: Interpreters, *, progress: Progress
) -> Iterator[Links]:
    """Realise a lock and give its links; within the context nothing of it can be collected."""
    store = Store(settings.store_root)
    with store.using():
        profile = realise(declaration, lock, store, interpreters, settings, progress=progress)
        with files.refused("make", f"{declaration.dot_flox}/run"):
            project_directory.made(declaration.dot_flox, "run", mode=0o755)
        yield Links(store, profile, run_links(declaration, settings.system))


def _plan(
    declaration: Declaration,
    mode: str,
    link: str,
    before: tuple[plans.Fingerprint, ...],
    settings: Settings,
) -> Plan:
    manifest = declaration.manifest
    profile, hook, services = manifest.profile, manifest.hook, manifest.services
    names = ("common", "bash", "zsh", "fish", "tcsh")
    scripts = {name: getattr(profile, name) for name in names} if profile else {}
    undo = profile.deactivate if profile else None
    locks = (f"{declaration.dot_flox}/env/manifest.lock", f"{declaration.dot_flox}/pylock.toml")
    # Through the link: the profile, the environment and the host's interpreter all have to be where they were.
    anchor = f"{link}/bin/python" if os.path.lexists(f"{link}/bin/python") else link
    plan = plans.Plan(
        project=declaration.project,
        name=declaration.name,
        mode=mode,
        default=mode == _declared_mode(declaration),
        system=settings.system,
        flox_env=link,
        store_path=os.readlink(link),
        runtime_name=environment_name(declaration.dot_flox),
        stats=(*before, *plans.fingerprints((*locks, anchor))),
        choices=settings.choices,
        vars=vars_in_order(manifest.vars),
        ports=allocate(declaration, settings),
        hook=hook.on_activate if hook else None,
        on_deactivate=hook.on_deactivate if hook else None,
        profile=scripts,
        deactivate={name: getattr(undo, name) for name in names} if undo else {},
        certificates=certificate_bundle(),
        auto_start=bool(services and services.auto_start),
        minimum_version=_minimum_version(manifest),
    )
    return plans.completed(plan)


def _minimum_version(manifest: Manifest) -> list[str | None] | None:
    wished = manifest.minimum_cli_version
    if wished is None:
        return None
    return [wished.version, wished.reason] if isinstance(wished, MinimumVersion) else [wished, None]


def _named_files(declaration: Declaration) -> list[str]:
    """Return the files besides the manifest that the declaration is read from."""
    python = declaration.esker.python
    return [os.path.join(declaration.project, python.project)] if python and python.project else []


def _declared_mode(declaration: Declaration) -> str:
    options = declaration.manifest.options.activate
    return (options.mode if options else None) or "dev"


@contextmanager
def alone(project: str) -> Iterator[None]:
    """Let one process at a time prepare a project; the others wait and take what it made."""
    directory = f"{project}/.flox/cache/esker"
    remedy = _remedy(project)
    with files.refused("make", directory, remedy=remedy):
        project_directory.made(f"{project}/.flox", "cache", "esker")
    with files.locked(f"{directory}/prepare.lock", remedy=remedy):
        yield


def _remedy(project: str) -> str | None:
    """Return what a user does who may not write where another has written, or None."""
    uid, dot_flox = os.geteuid(), f"{project}/.flox"
    places = (f"{dot_flox}{name}" for name in ("", "/cache", "/cache/esker", "/cache/esker/prepare.lock"))
    if all(os.lstat(place).st_uid == uid for place in places if os.path.lexists(place)):
        return None
    return f"work in a clone of your own, or have root give this one to you: chown -R {uid} {project}"
