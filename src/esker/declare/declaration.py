"""The declaration: a project's manifest and what `[plugins.esker]` adds to it, checked and typed."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from esker.formats.manifest import Manifest, Service

__all__ = [
    "Compose",
    "Condition",
    "Declaration",
    "EskerTable",
    "HealthCheck",
    "ProgramRule",
    "PythonTable",
    "ServiceTable",
]

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with named fields."""


class ProgramRule(_Value, frozen=True):
    """Programs that a wheel carries outside `bin`."""

    pattern: str
    """A glob below site-packages, such as `some_wheel/bin/*`."""
    name: str | None = None
    """The name it gets in the profile's bin; None keeps the file's own."""


class PythonTable(_Value, frozen=True):
    """`[plugins.esker.python]`."""

    version: str | None = None
    """A PEP 440 specifier of the interpreter."""
    dependencies: tuple[str, ...] = ()
    """PEP 508 requirements."""
    project: str | None = None
    """A pyproject.toml, relative to the project directory, whose dependencies are taken."""
    groups: tuple[str, ...] = ()
    """Dependency groups (PEP 735) of `project`."""
    source: tuple[str, ...] = ()
    """Directories, relative to the project directory, that are put on the path."""
    build: tuple[str, ...] = ()
    """Normalised names that may be built from a source distribution."""
    programs: Mapping[str, tuple[ProgramRule, ...]] = {}


class HealthCheck(_Value, frozen=True):
    """When a service is healthy: exactly one of `test`, `tcp`, `unix`, `http`, `log`; times in seconds."""

    test: str | tuple[str, ...] | None = None
    """Shell text, or an argument list that is run without a shell."""
    tcp: str | None = None
    unix: str | None = None
    http: str | None = None
    log: str | None = None
    """A regular expression that a line of the service's log must match."""
    interval: float = 10.0
    start_interval: float = 0.05
    timeout: float = 2.0
    retries: int = 3
    start_period: float = 30.0


class ServiceTable(_Value, frozen=True):
    """`[plugins.esker.services.NAME]`; times in seconds."""

    type: Literal["simple", "oneshot"] = "simple"
    depends_on: Mapping[str, Condition] = {}
    healthcheck: HealthCheck | None = None
    restart: Literal["no", "on-failure", "always"] = "no"
    max_restarts: int = 3
    backoff: float = 0.1
    """The pause before the first restart; it doubles with each, to 10 s at most."""
    stop_signal: str = "SIGTERM"
    stop_grace_period: float = 10.0
    ports: Mapping[str, int] = {}
    """Variable name to port; 0 is a free port, kept for this checkout."""
    pass_env: tuple[str, ...] = ()
    user: str | None = None


class Compose(_Value, frozen=True):
    """`[plugins.esker.compose]`: services in containers."""

    file: str
    services: tuple[str, ...] = ()
    """Names of the file's services; empty means all of them."""


class EskerTable(_Value, frozen=True):
    """`[plugins.esker]`."""

    python: PythonTable | None = None
    services: Mapping[str, ServiceTable] = {}
    compose: Compose | None = None


class Declaration(_Value, frozen=True):
    """A project's environment as it was declared."""

    project: str
    """The project directory, absolute, with links resolved."""
    name: str
    """From env.json."""
    manifest: Manifest
    esker: EskerTable = EskerTable()

    @property
    def dot_flox(self) -> str:
        """The `.flox` directory, absolute."""
        return f"{self.project}/.flox"

    def services_for(self, system: str) -> dict[str, Service]:
        """Return the services that are declared for `system`, by name."""
        if self.manifest.services is None:
            return {}
        declared = self.manifest.services.services
        return {name: declared[name] for name in declared if system in (declared[name].systems or (system,))}
