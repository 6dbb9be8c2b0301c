"""The supervised services of an environment, as the Flox integration asks for them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.activate.active import shared
from esker.activate.allocation import allocate
from esker.declare.load import load
from esker.errors import ServiceError
from esker.host import variables
from esker.host.clock import Abandoned
from esker.runtimes.native import runtime as native
from esker.runtimes.native.preparation import own_system
from esker.services.chamber import Started
from esker.services.supervised.chamber import observed, supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from esker.activate.difference import Activation
    from esker.formats.service_handle import Holder
    from esker.host.clock import Deadline
    from esker.runtimes.flox_native import Native
    from esker.services.status import ServiceStatus
    from esker.services.supervised.control import Services
    from esker.services.supervised.protocol import Until

__all__ = ["NativeServices"]

_ENDLESS = 1e8
"""Seconds of a limit that nobody set."""
_PAUSE = 0.1


class NativeServices:
    """The services of one environment."""

    def __init__(self, engine: Native) -> None:
        self._engine = engine

    def start(self, names: Sequence[str], deadline: Deadline) -> Started:
        """Start services, all without names, to stay; their supervisor keeps them."""
        with self._startable(deadline) as services:
            before = {found.name for found in services.status() if found.ready}
            found = services.start(*names, seconds=_seconds(deadline))
        return Started(tuple(each.name for each in found if not names or each.name in names or each.name not in before))

    def use(self, names: Sequence[str], deadline: Deadline) -> Callable[[], None]:
        """Start services, all without names, for this process until the returned function is called."""
        with self._startable(deadline) as services:
            return services.lease(*names, seconds=_seconds(deadline)).release

    def restart(self, names: Sequence[str], deadline: Deadline) -> None:
        """Stop services that run, and start them with the variables as they are now."""
        with self._startable(deadline) as services:
            services.restart(*names, seconds=_seconds(deadline))

    def stop(self, names: Sequence[str] | None = None, holder: Holder | None = None) -> None:  # noqa: ARG002 - Flox's
        """Stop services, whoever uses them; None is all of them."""
        if names is None or names:
            self._observed().stop(*(names or ()))

    def status(self) -> tuple[ServiceStatus, ...]:
        """Return the state of every service, by name."""
        return self._observed().status()

    def wait(self, names: Sequence[str], until: Until, deadline: Deadline) -> None:
        """Wait until services, all without names, are in a state."""
        with _abandonable(self._observed(), deadline) as services:
            if not services.specs:
                raise ServiceError("this environment has no services", hint="declare one in `[services]`")
            services.wait(*names, until=until, seconds=deadline.left())

    def logs(self, name: str, tail: int | None = None) -> str:
        """Return the last lines of a service's log; without `tail` all that is kept."""
        return "".join(f"{line}\n" for line in self._observed().logs(name, tail))

    def follow(self, name: str, tail: int | None = None) -> Iterator[str]:
        """Yield the last lines of a service's log and those that are added, until the caller has enough."""
        for _, line in self._observed().follow(name, count=tail, pause=_pause):
            yield line

    def _startable(self, deadline: Deadline) -> AbstractContextManager[Services]:
        """Give the services with what they need to start; those of an active environment see what this process does."""
        engine, environ = self._engine, variables.current()
        plan = native.prepare(engine.project, environ)

        def activation() -> Activation:
            return shared(engine.key, environ, lambda given: engine.begin(given, deadline))

        return _abandonable(supervised(plan, load(engine.project), activation, environ), deadline)

    def _observed(self) -> Services:
        environ, declaration = variables.current(), load(self._engine.project)
        return observed(declaration, own_system(), allocate(declaration, environ), environ)


@contextmanager
def _abandonable(services: Services, deadline: Deadline) -> Iterator[Services]:
    """Take back what is asked of services when the deadline is given up."""
    services.asking = lambda connection: deadline.telling(connection.abort)
    try:
        yield services
    except ServiceError:
        if deadline.is_abandoned:
            raise Abandoned from None
        raise


def _seconds(deadline: Deadline) -> float:
    left = deadline.left()
    return _ENDLESS if left is None else left


def _pause() -> bool:
    time.sleep(_PAUSE)
    return True
