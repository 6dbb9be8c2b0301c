"""What the first activation after a change does: lock if stale, realise, link, and write the plan for the next ones."""

import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from esker.activate import plan as plans
from esker.activate.allocation import allocate
from esker.activate.plan import Plan
from esker.declare.declaration import Declaration
from esker.declare.load import load
from esker.errors import StaleLock
from esker.formats.manifest import vars_in_order
from esker.formats.systems import system_name
from esker.host import files
from esker.lock.resolve import Lock, make_lock, read_lock, write_lock
from esker.lock.staleness import stale_entries
from esker.progress import Progress, Silent
from esker.realise import roots
from esker.realise.closure import closure
from esker.realise.store import Store, default_root

__all__ = ["lock_project", "prepare_anew", "realise_project"]

MODES = ("dev", "run")


def own_system() -> str:
    """Return the name of the system this process runs on."""
    return system_name(sys.platform, os.uname().machine)


def prepare_anew(
    project: str,
    environ: Mapping[str, str],
    *,
    mode: str | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Lock, realise and link `project` as far as it is not done yet, and return the plan, which is written too."""
    listener = progress or Silent()
    with _alone(project):
        known = plans.warm(project, mode)
        if known is not None:  # whoever held the lock before us has done it
            return known
        before = plans.fingerprints(_inputs(project))
        declaration = load(project)
        lock = lock_project(declaration, environ, locked=locked, progress=listener)
        links = realise_project(declaration, lock, environ, progress=listener)
        chosen = mode or _declared_mode(declaration)
        plan = _plan(declaration, chosen, links[chosen], before)
        plans.write(plan, plans.plan_path(project, chosen))
        return plan


def lock_project(
    declaration: Declaration,
    environ: Mapping[str, str],
    *,
    locked: bool = False,
    upgrade: bool = False,
    progress: Progress,
) -> Lock:
    """Return the lock of a declaration: the one on disk where it is not stale, else a new one, which is written."""
    system = own_system()
    current = read_lock(declaration)
    stale = stale_entries(declaration, current, system, environ)
    if current is not None and not stale and not upgrade:
        return current
    if locked:
        raise StaleLock("the lock does not say what the manifest says", stale, hint="make it again: esker lock")
    lock = make_lock(declaration, None if upgrade else current, system, environ, progress=progress)
    write_lock(declaration, lock)
    return lock


def realise_project(
    declaration: Declaration, lock: Lock, environ: Mapping[str, str], *, progress: Progress
) -> dict[str, str]:
    """Realise a lock and point the project's run links at its profile; returns the link of each mode."""
    store = Store(default_root(environ, os.geteuid()))
    system = own_system()
    links = {mode: f"{declaration.dot_flox}/run/{system}.{declaration.name}-{mode}" for mode in MODES}
    with store.using():
        found = closure(declaration, lock, store, system, environ, progress=progress)
        for link in links.values():
            if not _rolled_back(store, link, found):
                roots.switch(store, link, found)
    return links


def _rolled_back(store: Store, link: str, profile: str) -> bool:
    """Whether a person has gone back from exactly this profile: then the link stays until the lock changes."""
    known = roots.generations(store, link)
    return bool(known) and known[-1].path == profile and any(each.current for each in known[:-1])


def _plan(declaration: Declaration, mode: str, link: str, before: tuple[plans.Fingerprint, ...]) -> Plan:
    manifest = declaration.manifest
    profile, hook, services = manifest.profile, manifest.hook, manifest.services
    names = ("common", "bash", "zsh", "fish", "tcsh")
    scripts = {name: getattr(profile, name) for name in names} if profile else {}
    undo = profile.deactivate if profile else None
    locks = (f"{declaration.dot_flox}/env/manifest.lock", f"{declaration.dot_flox}/pylock.toml")
    # Through the link: the profile, the environment and the host's interpreter all have to be where they were.
    anchor = f"{link}/bin/python" if os.path.lexists(f"{link}/bin/python") else link
    return plans.make(
        project=declaration.project,
        name=declaration.name,
        mode=mode,
        default=mode == _declared_mode(declaration),
        system=own_system(),
        flox_env=link,
        store_path=os.readlink(link),
        stats=(*before, *plans.fingerprints((*locks, anchor))),
        vars=vars_in_order(manifest.vars),
        ports=allocate(declaration),
        hook=hook.on_activate if hook else None,
        profile=scripts,
        deactivate={name: getattr(undo, name) for name in names} if undo else {},
        certificates=_certificates(),
        auto_start=bool(services and services.auto_start),
        has_services=bool(services and services.services),
    )


def _inputs(project: str) -> Iterator[str]:
    """What the declaration is read from; a pyproject.toml that it names counts too."""
    yield f"{project}/.flox/env/manifest.toml"


def _declared_mode(declaration: Declaration) -> str:
    options = declaration.manifest.options.activate
    return (options.mode if options else None) or "dev"


def _certificates() -> str | None:
    found = ssl.get_default_verify_paths().cafile
    known = (found, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
    return next((path for path in known if path and os.path.exists(path)), None)


@contextmanager
def _alone(project: str) -> Iterator[None]:
    """Let one process at a time prepare a project; the others wait and take what it made."""
    with files.locked(f"{project}/.flox/cache/esker/prepare.lock"):
        yield
