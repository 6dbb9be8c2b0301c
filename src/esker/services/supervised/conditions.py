"""What starts and waits wait for: the conditions between services, and when a start or a wait is over.

Every function looks at the states that the services have now, and changes nothing. The supervisor asks again after each
change of a service. A failure that makes a condition impossible is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import ServiceFailed, ServicesNotReady
from esker.services.supervised.probe import NotRunnable, Shut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esker.services.specification import ServiceSpec
    from esker.services.status import Until
    from esker.services.supervised.service import Service

    Services = Mapping[str, Service]
    """The services that were ever started, by name."""

__all__ = ["all_ready", "check_possible", "has_reached", "is_outdated", "needs_start", "too_late", "unmet"]

_LOG_LINES = 20


def unmet(service: Service, services: Services) -> dict[str, str]:
    """Return the dependencies of `service` whose conditions do not hold now, each with its condition."""
    conditions = service.spec.depends_on.items()
    return {name: condition for name, condition in conditions if not _is_met(services[name], condition)}


def _is_met(dependency: Service, condition: str) -> bool:
    completed = dependency.state == "Completed"
    if condition in {"service_completed", "service_completed_successfully"}:
        return completed
    return completed or (dependency.ready if condition == "service_healthy" else dependency.started)


def check_possible(service: Service, services: Services) -> None:
    """Raise ServiceFailed if a dependency of `service` has failed or was stopped, so that its condition cannot hold."""
    for name, condition in service.spec.depends_on.items():
        dependency = services[name]
        completed = dependency.state == "Completed"
        unchecked = dependency.spec.container is not None and dependency.was_ready and dependency.health is None
        if condition == "service_healthy" and unchecked and not completed:  # its image may have had one
            raise ServiceFailed(
                f"service `{service.spec.name}` waits until `{name}` is healthy, but its container has no health check",
                service=service.spec.name,
                hint=f"give `{name}` a `healthcheck` in the Compose file, or wait for `service_started`",
            )
        ended_badly = completed and dependency.exit_code and condition != "service_completed"
        if dependency.state in {"Error", "Skipped", "Stopped"} or ended_badly:
            how = "was stopped" if dependency.state == "Stopped" else "failed"
            raise ServiceFailed(
                f"service `{service.spec.name}` was not started: `{name}` {how}", service=service.spec.name
            )


def needs_start(service: Service | None, spec: ServiceSpec) -> bool:
    """Return whether to start a service: not if it is active, nor if it is a oneshot whose result still holds."""
    if service is None:
        return True
    completed = service.spec.oneshot and service.state == "Completed" and service.spec == spec
    return not (service.active or completed)


def is_outdated(service: Service | None, spec: ServiceSpec | None) -> bool:
    """Return whether a service runs by another definition than `spec`."""
    return service is not None and service.is_outdated(spec)


def all_ready(started: Sequence[Service], unhealthy: Iterable[str], *, skips: bool) -> bool:
    """Return whether a start is over; raise its failure, a service's own error before those of its dependents.

    `unhealthy` names the services that ran and were unhealthy when the start began: it waits for their recovery.
    With `skips`, it is no failure if a service is not run because of its dependencies, as with Flox.
    """
    if skips and not any(service.state == "Error" for service in started):
        started = [service for service in started if service.state != "Skipped"]
    for state in ("Error", "Skipped"):
        for service in started:
            if service.state == state and service.failure:
                raise service.failure
    for service in started:
        name = service.spec.name
        if service.state == "Stopped":
            raise ServiceFailed(f"service `{name}` was stopped while it was starting", service=name)
        if service.health == "unhealthy" and not service.was_ready and name not in unhealthy:
            raise ServiceFailed(
                f"service `{name}` does not become healthy: {service.problem}",
                service=name,
                log=service.log.recent(_LOG_LINES),
                hint=_remedy(service),
            )
    return all(service.satisfied for service in started)


def _remedy(service: Service) -> str:
    """Return what may help a service that does not become healthy."""
    contained = service.spec.container is not None
    if isinstance(service.problem, Shut):
        again = f"esker services restart {service.spec.name}"
        return f"start it anew: {again}; if that does not help, restart the engine"
    if isinstance(service.problem, NotRunnable):
        if contained:
            return "its image has no such command: correct `healthcheck` in the Compose file"
        return "install what has that command, or correct `healthcheck` in the manifest: esker edit"
    period = "`start_period` in the Compose file" if contained else "`start-period`"
    return f"if the service only needs more time, set a longer {period}; else {service.advice}"


def too_late(names: Iterable[str], services: Services, seconds: float) -> ServicesNotReady:
    """Return the error of a start of `names` that has taken more than `seconds`."""
    late = [name for name in names if name not in services or not services[name].satisfied]
    listed = ", ".join(f"`{name}`" for name in late)
    # A service that waits for another one has little to tell, and one that was not begun yet has nothing.
    begun = sorted((services[name] for name in late if name in services), key=lambda each: each.state == "Pending")
    first = next((each for each in begun if each.state != "Pending" or each.obstacle), None)
    obstacle = first.obstacle if first else None
    hint = "allow a longer `--timeout`" + (f"; else {first.advice}" if first else "")
    if first and first.restarts:  # more time would bring more of the same
        hint = first.advice
    verb = "service {} was" if len(late) == 1 else "services {} were"
    return ServicesNotReady(
        f"{verb.format(listed)} not ready within {seconds:g} s",
        services=late,
        log=first.log.recent(_LOG_LINES) if first else (),
        hint=f"{obstacle}; {hint}" if obstacle else hint,
    )


def has_reached(name: str, services: Services, until: Until) -> bool:
    """Return whether a service is what a wait asks for; raise ServiceFailed if it never can be."""
    service = services.get(name)
    if until == "stopped":
        return service is None or not service.active
    if service is None or service.state in {"Stopped", "Skipped"}:
        raise ServiceFailed(f"service `{name}` is not running", service=name, hint="start it first")
    if service.failure:
        raise service.failure
    if until == "completed":
        return service.state == "Completed"
    return service.satisfied
