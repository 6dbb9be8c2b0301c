"""What activating a project would do, for those who only look: nothing is locked, installed, linked or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate import plan as plans
from esker.declare import trust
from esker.declare.generations import declared_then, in_force
from esker.declare.missing_packages import WITHOUT
from esker.errors import RealisationFailed, StaleLock
from esker.lock.compose import check_layers
from esker.lock.lock_files import present
from esker.lock.resolve import current_lock
from esker.progress import Silent
from esker.realise.realise import missing_packages
from esker.runtimes.native.links import Made, is_linked, run_links
from esker.runtimes.native.planning import Target, declared_mode, planned
from esker.runtimes.native.preparation import check_system, sources_of, toolchain_of
from esker.store.built import BuiltStore

if TYPE_CHECKING:
    from esker.activate.plan import Plan
    from esker.settings import Settings

__all__ = ["preview"]


def preview(project: str, settings: Settings, *, mode: str | None = None) -> Plan:
    """Return the plan that `prepare` would return for `project`, if all it has to do for that is to write the plan.

    Raises StaleLock where the project has to be locked first, and RealisationFailed where it has to be installed or
    linked. An automatic port that the project does not have yet is the one that would be chosen now.
    """
    trust.check(project, settings)
    plan = plans.warm(project, settings.choices, mode, settings.caller)
    if plan is not None:
        return plan
    plans.check_path(project)
    sources, declaration, manifest = sources_of(project)
    try:
        lock = current_lock(declaration, settings)
    except StaleLock as stale:
        hint = f"lock and install it: {_remedy(settings)}; or only lock it: esker lock"
        raise StaleLock(stale.message, reasons=stale.reasons, hint=hint) from None
    check_layers(declaration)
    check_system(declaration, lock, settings)
    store = BuiltStore(settings.store_root)
    made, live = Made(manifest, lock, present(declaration, lock)), declaration
    if (earlier := in_force(declaration, settings)) is not None:
        live = declared_then(project, earlier)
    chosen = mode or declared_mode(live)
    link = run_links(declaration, settings.system)[chosen]
    if not is_linked(declaration, made, store, link, settings):
        raise RealisationFailed(
            f"the environment `{declaration.name}` is locked, but not installed on this machine",
            hint=f"install it: {_remedy(settings)}",
        )
    missing = missing_packages(lock, store, settings.system)
    target = Target.of(link)._replace(toolchain=toolchain_of(live, settings, Silent(), look=True))
    return planned(live, chosen, target, sources, settings, missing, keep_ports=False)


def _remedy(settings: Settings) -> str:
    return f"{WITHOUT} -- true" if settings.without_packages else "esker activate -- true"
