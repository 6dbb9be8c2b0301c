"""Which service waits for which, in the words of Compose.

A service begins as soon as each of its own conditions holds, so whatever does not depend on one another begins at
once; stopping goes the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import ServiceError, UnknownService

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.services.specification import ServiceSpec

__all__ = ["check", "closure", "dependents"]


def check(specs: Mapping[str, ServiceSpec]) -> None:
    """Raise ServiceError when a dependency is unknown, can never hold, or is part of a cycle, which is named."""
    for spec in specs.values():
        for name, condition in spec.depends_on.items():
            target = specs.get(name)
            if target is None:
                raise UnknownService(
                    f"the service `{spec.name}` depends on `{name}`, which is no service here",
                    service=name,
                    hint=_known(specs),
                )
            if condition == "service_healthy" and target.check is None:
                raise ServiceError(
                    f"the service `{spec.name}` waits until `{name}` is healthy, but `{name}` has no health check",
                    hint=f"give `{name}` a `healthcheck`, or wait for `service_started`",
                )
            endless = target.has_table and not target.oneshot
            if condition == "service_completed_successfully" and endless:
                raise ServiceError(
                    f"the service `{spec.name}` waits until `{name}` has completed, but `{name}` is no oneshot",
                    hint=f'give `{name}` the `type = "oneshot"`, or wait for another condition',
                )
    closure(specs, specs)


def closure(specs: Mapping[str, ServiceSpec], names: Iterable[str]) -> list[str]:
    """Return `names` and all they depend on, each after its own dependencies; a cycle is a ServiceError."""
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise ServiceError(f"services depend on each other in a cycle: `{cycle}`", hint="take one of them out")
        if name not in specs:
            raise UnknownService(f"service `{name}` does not exist", service=name, hint=_known(specs))
        path.append(name)
        for dependency in specs[name].depends_on:
            visit(dependency)
        path.pop()
        done[name] = None

    for name in names:
        visit(name)
    return list(done)


def dependents(specs: Mapping[str, ServiceSpec]) -> dict[str, set[str]]:
    """Return for each service those that name it as a dependency."""
    found: dict[str, set[str]] = {name: set() for name in specs}
    for spec in specs.values():
        for name in spec.depends_on:
            found.setdefault(name, set()).add(spec.name)
    return found


def _known(specs: Mapping[str, ServiceSpec]) -> str:
    return "the services here are " + ", ".join(f"`{name}`" for name in sorted(specs)) if specs else "there are none"
