"""The chamber beside the runtime: what it offers whoever asks, and how an environment gets the supervised one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from esker.activate.variables import Activation, is_started
from esker.errors import StartWithinHook
from esker.host.runtime_directory import environment_directory
from esker.services.specification import ServiceSpec, passed_variables, specify
from esker.services.supervised.connection import Changed, Site
from esker.services.supervised.control import Leased, Services, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.services.status import ServiceStatus
    from esker.services.supervised.protocol import Until

__all__ = ["Chamber", "observed", "supervised"]


class Chamber(Protocol):
    """Who can play the services: supervised processes, another tool's services, containers."""

    def start(self, *names: str, seconds: float = ..., changed: Changed | None = None) -> tuple[ServiceStatus, ...]:
        """Start services, all without names, and return when they are ready; they run until `stop`."""

    def restart(self, *names: str, seconds: float = ..., changed: Changed | None = None) -> dict[str, str]:
        """Stop services that run and start them; return `restarted` or `started` for each."""

    def lease(
        self,
        *names: str,
        seconds: float = ...,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services for as long as a process lives, or until they are released."""

    def stop(self, *names: str) -> Stopped:
        """Stop services, whoever uses them."""

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the state of services."""

    def wait(self, *names: str, until: Until = "healthy", seconds: float | None = None) -> tuple[ServiceStatus, ...]:
        """Wait until services are healthy, completed or stopped."""

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last lines of a service's log."""


def supervised(
    plan: Plan, declaration: Declaration, activation: Callable[[], Activation], caller: Mapping[str, str]
) -> Services:
    """Return the supervised services of an environment.

    What they see is a short list of the caller's variables, the activation's difference, and their own `vars`: the same
    whoever starts them, from wherever. `activation` is asked for it when something is started.
    """
    specs = specify(declaration, plan.system, plan.ports)
    site = Site(
        project=plan.project,
        dot_flox=plan.dot_flox,
        runtime=plan.runtime_directory(caller.get("XDG_RUNTIME_DIR")),
        paths=tuple(dict.fromkeys((os.path.dirname(plan.store_path), *_interpreter(plan)))),
        store_paths=(plan.store_path,),
    )

    def environments() -> dict[str, dict[str, str]]:
        difference = _inherited(plan, caller) if is_started(plan, caller) else activation()
        return {name: _variables(spec, difference, caller) for name, spec in specs.items()}

    return Services(site, specs, environments)


def _variables(spec: ServiceSpec, activation: Activation, caller: Mapping[str, str]) -> dict[str, str]:
    return {**activation.apply(_base(caller, spec.pass_env)), **spec.vars}


def _base(caller: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    return passed_variables(caller, also) | {"PATH": caller.get("PATH", os.defpath)}


def _inherited(plan: Plan, caller: Mapping[str, str]) -> Activation:
    """Return what an activation changes that the caller has inherited, whole: one of its own is what it lacks yet.

    Raises StartWithinHook within a hook of the environment, which has not come to its end and would wait for this.
    """
    from esker.activate.starts import registry
    from esker.activate.starts.attachment import User, attach
    from esker.host import process_table

    blocker = registry.blocker(registry.place(plan.runtime_directory(caller.get("XDG_RUNTIME_DIR"))), plan)
    if blocker and blocker[0] in process_table.ancestors(os.getpid(), process_table.table()):
        raise StartWithinHook(
            f"services cannot be started from `{blocker[1]}`, which their start would wait for",
            hint="activate with them: esker activate -s, or `services.auto-start` in the manifest",
            hook=blocker[1],
        )
    attachment = attach(plan, _base(caller), User(stays=True))
    attachment.leave()
    return attachment.activation


def _interpreter(plan: Plan) -> list[str]:
    python = f"{plan.flox_env}/bin/python"
    return [os.path.realpath(python)] if os.path.exists(python) else []


def observed(declaration: Declaration, system: str, ports: Mapping[str, int], caller: Mapping[str, str]) -> Services:
    """Return the supervised services of a project for looking at them, and for stopping them: nothing can be started.

    It needs no activation, so that nothing of the project is locked, realised or run.
    """
    site = Site(
        project=declaration.project,
        dot_flox=declaration.dot_flox,
        runtime=environment_directory(declaration.dot_flox, caller.get("XDG_RUNTIME_DIR")),
    )
    return Services(site, specify(declaration, system, ports), dict)
