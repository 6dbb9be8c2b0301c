"""What the first activation after a change does: lock, realise, link, and write the plan that the next ones read."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.activate import plan as plans
from esker.activate.seal import sealed
from esker.declare import consent, project_directory, trust
from esker.declare.generations import declared_then, keep
from esker.declare.known_environments import remember
from esker.declare.load import load, manifest_text
from esker.errors import EskerError, HostError, RealisationFailed, StaleLock, StoreError, UsageError
from esker.formats.manifest import CatalogPackage
from esker.lock.cache_keys import watched
from esker.lock.changes import package_changes, summary
from esker.lock.compose import composed
from esker.lock.lock_files import present
from esker.lock.locked_sources import paths_of_lock
from esker.lock.own_project import own_project
from esker.lock.pyproject import read_pyproject
from esker.lock.resolve import current_lock, readable_lock
from esker.lock.uv_lock import uv_lock_path
from esker.progress import Progress, Silent
from esker.realise.realise import missing_packages, realise
from esker.runtimes.native.links import Links, Made, check_installable, is_linked, run_links
from esker.runtimes.native.locking import lock_project
from esker.runtimes.native.planning import Target, declared_mode, planned
from esker.runtimes.native.project_lock import alone, hand_over
from esker.runtimes.native.swap import put_in_order
from esker.store.built import BuiltStore
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreters
    from esker.lock.lock_files import Lock
    from esker.runtimes.foreign.result import Result
    from esker.settings import Settings

__all__ = [
    "check_system",
    "prepare_stale",
    "realised",
    "sources_of",
    "toolchain_of",
]


def prepare_stale(
    project: str,
    settings: Settings,
    *,
    mode: str | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Lock, realise and link `project`, whose plan is not fresh; write the new plan, and return it.

    If another process does so first, its plan is returned. With `locked`, a stale lock is refused (StaleLock).
    """
    listener = progress or Silent()
    plans.check_path(project)  # a path that PATH cannot hold: found before the work, which may be long
    put_in_order(project)
    with alone(project):
        plan = None if settings.tool_refresh else plans.warm(project, settings.choices, mode, settings.caller)
        if plan is not None and not (locked and plan.missing):  # whoever prepared the project before us has done it
            return plan
        sources, declaration, manifest = sources_of(project, None if locked else settings)
        trust.check_contents(project, settings, [*_project_files(declaration), *_present_layers(declaration)])
        interpreters = settings.interpreters(listener)
        if not locked:
            _check_installable(declaration, settings)
        before = readable_lock(declaration)
        with consent.carried(project, settings):
            lock, is_new = lock_project(declaration, settings, interpreters, locked=locked, progress=listener)
        check_system(declaration, lock, settings)
        made = Made(manifest, lock, present(declaration, lock))
        with realised(declaration, made, settings, interpreters, progress=listener) as links:
            earlier = links.switch(keep_rollback=not is_new)  # a new lock overrides a rollback
            missing = missing_packages(lock, links.store, settings.system)
        if is_new and (changes := summary(package_changes(before, lock))):
            listener.finish(f"Locked:\n{changes}")
        remember(project, settings)
        if earlier is not None and earlier.declared is not None:
            declaration = declared_then(project, earlier)
        chosen = mode or declared_mode(declaration)
        toolchain = toolchain_of(declaration, settings, listener)
        target = Target.of(links.by_mode[chosen])._replace(toolchain=toolchain)
        plan = planned(declaration, chosen, target, sources, settings, missing)
        if toolchain is None or toolchain.is_kept:
            plans.write(_sealed(plan, settings), plans.plan_path(project, chosen))
        hand_over(declaration.dot_flox)
        return plan


def toolchain_of(
    declaration: Declaration, settings: Settings, progress: Progress, *, look: bool = False
) -> Result | None:
    """Return what the tool gives that the manifest names; None if it names none. Raises what `result` raises.

    With `look`, the tool is not asked.
    """
    name = declaration.esker.runtime
    if name == "native":
        if settings.tool_choice:
            raise UsageError(
                "these options are for an environment whose toolchain another tool gives",
                hint='leave --shell, --override-input and --impure out, or write `runtime = "nix"` in [plugins.esker]',
            )
        return None
    from esker.runtimes.foreign.result import result

    def check(paths: Iterable[str]) -> None:
        trust.check_contents(declaration.project, settings, paths)

    return result(declaration, name, settings, progress, check=check, look=look)


def _sealed(plan: Plan, settings: Settings) -> Plan:
    """Return the plan with its seal, unless what it was made from has changed meanwhile; without one the prompt waits.

    What the files say is read first: if they are still as the plan has seen them after that, this is what it saw.
    """
    with suppress(HostError):  # an explicit activation needs no seal
        key, made_from = consent.seal_key(settings, make=True), consent.content(plan.project).made_from
        if key is not None and plans.fresh(plan):
            return sealed(plan, made_from, key)
    return plan


def sources_of(
    project: str, composing: Settings | None = None
) -> tuple[tuple[plans.Fingerprint, ...], Declaration, str]:
    """Return the files that a declaration was read from, as they were before; the declaration; and its manifest.

    With `composing`, the environments that it includes are merged if the lock has not merged them yet.
    """
    sources = plans.fingerprints(f"{project}/.flox/{name}" for name in ("env.json", "env/manifest.toml"))
    manifest = manifest_text(project)

    def read() -> Declaration:
        declaration = load(project, manifest=manifest)
        return composed(declaration, composing) if composing else declaration

    declaration = read()
    if declaration.layers is not None and (locks := declaration.layers.locks):
        # Which locks decide is known only after they were read, so they are read again after they were looked at.
        sources, declaration = (*sources, *plans.fingerprints(locks)), read()
    return (*sources, *plans.fingerprints(_project_files(declaration))), declaration, manifest


def _present_layers(declaration: Declaration) -> list[str]:
    locks = declaration.layers.locks if declaration.layers else ()
    return [path for path in locks if os.path.exists(path)]


def _check_installable(declaration: Declaration, settings: Settings) -> None:
    """Check this before the work, which may be long; what is locked, installed and linked already needs no room."""
    try:
        check_installable(declaration, settings)
    except (HostError, StoreError):
        with suppress(StaleLock):
            lock, store = current_lock(declaration, settings), BuiltStore(settings.store_root)
            made = Made(manifest_text(declaration.project), lock, present(declaration, lock))
            links = run_links(declaration, settings.system).values()
            if all(is_linked(declaration, made, store, link, settings) for link in links):
                return
        raise


def check_system(declaration: Declaration, lock: Lock, settings: Settings) -> None:
    """Raise RealisationFailed if the environment is for other systems, as Flox does.

    It is if `options.systems` leaves this one out. Without `options.systems`, it is if all catalogue packages that name
    no systems of their own are locked for other systems only; that does not count where packages may be left out.
    """
    system = settings.system
    systems = declaration.manifest.options.systems
    install = declaration.manifest.install
    everywhere = {name for name, it in install.items() if isinstance(it, CatalogPackage) and not it.systems}
    locked_for = {package.system for package in lock.lockfile.packages if package.install_id in everywhere}
    if systems is None and (not locked_for or system in locked_for or settings.without_packages):
        return
    if systems is None or system not in systems:
        raise RealisationFailed(
            f"This environment is not yet compatible with your system ({system}).",
            hint="lock it again with Flox" if systems is None else f"add '{system}' to `options.systems`: esker edit",
        )


@contextmanager
def realised(
    declaration: Declaration,
    made: Made,
    settings: Settings,
    interpreters: Interpreters,
    *,
    dispensable: Collection[str] = (),
    progress: Progress,
) -> Iterator[Links]:
    """Realise a lock and yield its links, which do not point at it yet; nothing of it is collected meanwhile.

    What it was `made` from is kept in the store, so that it can become a generation.

    The `dispensable` packages of `[install]` need not be here.
    """
    store = Store(settings.store_root)
    with store.using():
        profile = realise(
            declaration, made.lock, store, interpreters, settings, dispensable=dispensable, progress=progress
        )
        kept = keep(store, declaration.name, made.files(declaration), profile)
        with project_directory.writable(declaration.dot_flox, "run", mode=0o755) as directory:
            by_mode = run_links(declaration, settings.system)
            yield Links(declaration, store, profile, kept, made.lock, by_mode, directory)


def _project_files(declaration: Declaration) -> list[str]:
    """Return the pyproject.toml that the manifest names, if it does, and the other metadata of what is built.

    Locking reads the first, the metadata of path dependencies and a uv.lock; if the project's own metadata changes, it
    is built again.
    """
    python = declaration.esker.python
    if python is None or python.project is None:
        return []
    path = os.path.normpath(os.path.join(declaration.project, python.project))
    with suppress(EskerError):  # a file that cannot be read is told of when it is used
        own, pyproject = own_project(declaration), read_pyproject(declaration)
        watched_files = watched(own.directory, own.keys) if own else []
        others = [uv_lock_path(pyproject), *paths_of_lock(pyproject)] if pyproject else []
        return list(dict.fromkeys([path, *watched_files, *others]))
    return [path]
