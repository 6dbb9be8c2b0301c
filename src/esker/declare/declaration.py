"""The declaration: a project's manifest and what `[plugins.esker]` adds to it, checked and typed.

The types are the schema of `[plugins.esker]`: `Annotated` says how a value is written (`notations`) and which rules
bind it to its neighbours (`rules`). `validate` reads them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from esker.declare import notations, rules
from esker.formats.manifest import Manifest, Service
from esker.formats.manifest_schema import variable_name
from esker.formats.typed_tables import Checked, Parsed

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


Duration = Annotated[float, Parsed(notations.duration, str, '"10s"')]
Pause = Annotated[float, Parsed(notations.pause, str, '"10s"')]
Word = Annotated[str, Parsed(notations.word)]
RelativePath = Annotated[str, Parsed(notations.relative_path)]
PackageName = Annotated[str, Parsed(notations.package_name)]
VariableName = Annotated[str, Parsed(variable_name)]
Count = Annotated[int, Parsed(notations.count)]


class _Value(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A frozen value with named fields."""


class ProgramRule(_Value, frozen=True):
    """Programs that a wheel carries outside `bin`."""

    pattern: str
    """A glob below site-packages, such as `some_wheel/bin/*`."""
    name: str | None = None
    """The name it gets in the profile's bin; None keeps the file's own."""


def _program_rules(value: Any) -> tuple[ProgramRule, ...]:
    return tuple(ProgramRule(pattern=pattern, name=name) for name, pattern in notations.program_rules(value))


class PythonTable(_Value, frozen=True):
    """`[plugins.esker.python]`."""

    version: Annotated[str | None, Parsed(notations.specifier)] = None
    """A PEP 440 specifier of the interpreter."""
    dependencies: tuple[Annotated[str, Parsed(notations.requirement)], ...] = ()
    """PEP 508 requirements."""
    project: RelativePath | None = None
    """A pyproject.toml, relative to the project directory, whose dependencies are taken."""
    groups: tuple[Word, ...] = ()
    """Dependency groups (PEP 735) of `project`."""
    source: tuple[RelativePath, ...] = ()
    """Directories, relative to the project directory, that are put on the path."""
    build: tuple[PackageName, ...] = ()
    """Normalised names that may be built from a source distribution."""
    programs: Mapping[PackageName, Annotated[tuple[ProgramRule, ...], Parsed(_program_rules, Any, '"…/bin/*"')]] = {}
    """By the wheel's normalised name: a glob, a table of names and files, or a list of both."""


class HealthCheck(_Value, frozen=True):
    """When a service is healthy: exactly one of `test`, `tcp`, `unix`, `http`, `log`; times in seconds."""

    test: str | tuple[str, ...] | None = None
    """Shell text, or an argument list that is run without a shell."""
    tcp: Annotated[str | None, Parsed(notations.address)] = None
    unix: Word | None = None
    http: Annotated[str | None, Parsed(notations.url)] = None
    log: Annotated[str | None, Parsed(notations.regular_expression)] = None
    """A regular expression that a line of the service's log must match."""
    interval: Pause = 10.0
    start_interval: Pause = 0.05
    timeout: Pause = 2.0
    retries: Annotated[int, Parsed(notations.positive)] = 3
    start_period: Duration = 30.0


class ServiceTable(_Value, frozen=True):
    """`[plugins.esker.services.NAME]`; times in seconds."""

    type: Literal["simple", "oneshot"] = "simple"
    depends_on: Mapping[str, Condition] = {}
    healthcheck: Annotated[HealthCheck | None, Checked(rules.one_form)] = None
    restart: Literal["no", "on-failure", "always"] = "no"
    max_restarts: Count = 3
    backoff: Duration = 0.1
    """The pause before the first restart; it doubles with each, to 10 s at most."""
    stop_signal: Annotated[str, Parsed(notations.signal_name)] = "SIGTERM"
    stop_grace_period: Duration = 10.0
    ports: Mapping[VariableName, Annotated[int, Parsed(notations.port)]] = {}
    """Variable name to port; 0 is a free port, kept for this checkout."""
    pass_env: tuple[VariableName, ...] = ()
    user: Word | None = None


class Compose(_Value, frozen=True):
    """`[plugins.esker.compose]`: services in containers."""

    file: RelativePath
    services: tuple[Word, ...] = ()
    """Names of the file's services; empty means all of them."""


class EskerTable(_Value, frozen=True):
    """`[plugins.esker]`."""

    python: Annotated[PythonTable | None, Checked(rules.one_source_of_dependencies)] = None
    services: Annotated[
        Mapping[str, Annotated[ServiceTable, Checked(rules.oneshot_ends)]],
        Checked(rules.no_dependency_cycle),
        Checked(rules.one_service_a_port_variable),
    ] = {}
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
