"""The dependencies between services, with the conditions of Compose.

A service starts as soon as its own conditions hold, so services that do not depend on each other start at the same
time. Services stop in the opposite order.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from esker.errors import ServiceError, UnknownService

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.services.specification import ServiceSpec

__all__ = ["check_dependencies", "dependents", "restarted_with", "with_dependencies", "without_containers"]


def check_dependencies(specs: Mapping[str, ServiceSpec]) -> None:
    """Raise ServiceError if a dependency is unknown, can never be fulfilled, or is part of a cycle."""
    for spec in specs.values():
        for name, condition in spec.depends_on.items():
            target = specs.get(name)
            if target is None:
                raise UnknownService(
                    f"the service `{spec.name}` depends on `{name}`, which is not a service here",
                    service=name,
                    hint=_declared(specs),
                )
            if condition == "service_healthy" and target.check is None and target.container is None:
                other = "service_completed_successfully" if target.oneshot else "service_started"
                raise ServiceError(
                    f"the service `{spec.name}` waits until `{name}` is healthy, but `{name}` has no health check",
                    hint=f"give `{name}` a `healthcheck`, or wait for `{other}`",
                )
            endless = target.has_table and not target.oneshot
            if condition == "service_completed_successfully" and endless:
                raise ServiceError(
                    f"the service `{spec.name}` waits until `{name}` has completed, but `{name}` is not a oneshot",
                    hint=f'give `{name}` the `type = "oneshot"`, or wait for another condition',
                )
    with_dependencies(specs, specs)


def with_dependencies(specs: Mapping[str, ServiceSpec], names: Iterable[str]) -> list[str]:
    """Return `names` and all they depend on, each after its own dependencies; raise ServiceError for a cycle."""
    dependencies: dict[str, Iterable[str]] = {}
    pending = [*names][::-1]
    while pending:
        name = pending.pop()
        if name in dependencies:
            continue
        if name not in specs:
            raise UnknownService(f"service `{name}` does not exist", service=name, hint=_declared(specs))
        dependencies[name] = specs[name].depends_on
        pending += [*specs[name].depends_on][::-1]
    try:
        return list(TopologicalSorter(dependencies).static_order())
    except CycleError as error:
        path = error.args[1][:0:-1]  # each service before its dependency; graphlib gives the first one at both ends
        start = next(path.index(name) for name in dependencies if name in path)
        cycle = " -> ".join([*path[start:], *path[: start + 1]])
        raise ServiceError(
            f"services depend on each other in a cycle: `{cycle}`", hint="remove one of these dependencies"
        ) from None


def without_containers(specs: Mapping[str, ServiceSpec]) -> list[str]:
    """Return the names of the services that need no container, neither their own nor one that they depend on."""
    return [
        name
        for name in sorted(specs)
        if all(specs[each].container is None for each in with_dependencies(specs, [name]))
    ]


def dependents(specs: Mapping[str, ServiceSpec]) -> dict[str, set[str]]:
    """Return, for each service, the services that depend on it directly."""
    by_name: dict[str, set[str]] = {name: set() for name in specs}
    for spec in specs.values():
        for name in spec.depends_on:
            by_name.setdefault(name, set()).add(spec.name)
    return by_name


def restarted_with(specs: Mapping[str, ServiceSpec], names: Iterable[str]) -> list[str]:
    """Return `names` and the services that are to be restarted with them, as `restart: true` in Compose says."""
    restarted = [*names]
    for name in restarted:  # it grows meanwhile
        restarted += [other for other, spec in specs.items() if name in spec.restarts_with and other not in restarted]
    return restarted


def _declared(specs: Mapping[str, ServiceSpec]) -> str:
    return (
        "the services here are " + ", ".join(f"`{name}`" for name in sorted(specs))
        if specs
        else "there are no services here"
    )
