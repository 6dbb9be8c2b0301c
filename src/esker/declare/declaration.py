"""The declaration: a project's manifest and what `[plugins.esker]` adds to it, checked and typed.

The types are the schema of `[plugins.esker]`, by which `validate` reads it. `Annotated` gives the notation of a value
(`notations`), and the rules that relate it to its neighbours. A rule takes the value that was read and the table as it
was written. It yields faults, whose paths begin at that table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from esker.declare import notations
from esker.declare.image_table import ImageTable
from esker.formats import manifest_services
from esker.formats.manifest import Manifest, Service
from esker.formats.manifest_values import System, variable_name
from esker.formats.references import cycle
from esker.formats.tables.reader import Checked, Elsewhere, Fault, Parsed

if TYPE_CHECKING:
    from esker.errors import EskerError
    from esker.formats.lockfile import Compose, Lockfile

__all__ = [
    "FORMS",
    "JOINED",
    "CiTable",
    "ComposeTable",
    "CondaDependency",
    "CondaTable",
    "Condition",
    "ContainerTable",
    "Declaration",
    "EskerTable",
    "GuixTable",
    "HealthCheck",
    "JoinedCondition",
    "Layers",
    "NixTable",
    "ProgramRule",
    "PythonRange",
    "PythonTable",
    "ServiceTable",
    "SystemRequirements",
    "ToolName",
]

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
JoinedCondition = Condition | Literal["service_completed"]
"""A condition of either table; `service_completed`, with any status, can be said in Flox's alone."""
JOINED: Mapping[str, JoinedCondition] = {
    "process_started": "service_started",
    "process_completed": "service_completed",
    "process_completed_successfully": "service_completed_successfully",
}
"""Flox's conditions as Esker's."""

Duration = Annotated[float, Parsed(notations.duration, str, '"10s"')]
Pause = Annotated[float, Parsed(notations.pause, str, '"10s"')]
Word = Annotated[str, Parsed(notations.word)]
RelativePath = Annotated[str, Parsed(notations.relative_path)]
PackageName = Annotated[str, Parsed(notations.package_name)]
VariableName = Annotated[str, Parsed(variable_name)]
Count = Annotated[int, Parsed(notations.count)]


class _Value(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A frozen struct whose keys are written in kebab case."""


class ProgramRule(_Value, frozen=True):
    """A rule that finds programs which a wheel carries outside `bin`."""

    pattern: str
    """A glob below site-packages, such as `some_wheel/bin/*`."""
    name: str | None = None
    """The program's name in the profile's bin; None keeps the file's name."""


def _program_rules(value: Any) -> tuple[ProgramRule, ...]:
    return tuple(ProgramRule(pattern=pattern, name=name) for name, pattern in notations.program_rules(value))


def _of_a_project(_: PythonTable, table: Mapping[str, Any]) -> Iterator[Fault]:
    """Only a pyproject.toml has dependency groups and extras, and describes a package."""
    for key in ("groups", "extras"):
        if key in table and "project" not in table:
            hint = f'add `project = "pyproject.toml"`, or list the requirements of the {key} in `dependencies`'
            yield Fault((key,), f"`{key}` belong to a pyproject.toml, but no `project` is named", hint)
    if "editable" in table and "project" not in table:
        hint = 'add `project = "pyproject.toml"`, or take `editable` out'
        yield Fault(("editable",), "`editable` belongs to a pyproject.toml, but no `project` is named", hint)


Specifier = Annotated[str, Parsed(notations.specifier)]


class PythonRange(_Value, frozen=True):
    """The table form of `version` in `[plugins.esker.python]`."""

    range: Specifier
    lock: Literal["one", "all"] = "one"
    """Whether the lock is for one minor version of the range, or for all of them."""


class PythonTable(_Value, frozen=True):
    """`[plugins.esker.python]`."""

    version: Specifier | PythonRange | None = None
    """A PEP 440 specifier of the interpreter, alone or in a table."""
    dependencies: tuple[Annotated[str, Parsed(notations.requirement)], ...] = ()
    """PEP 508 requirements: all of them, or with a `project` what the environment needs besides the project's own."""
    project: RelativePath | None = None
    """A pyproject.toml, relative to the project directory, that lists the project's dependencies."""
    groups: tuple[Word, ...] = ()
    """Dependency groups (PEP 735) of `project`."""
    extras: tuple[Word, ...] = ()
    """Extras of `project`: tables in its `[project.optional-dependencies]`."""
    editable: bool = True
    """Whether the package that `project` describes is part of the environment, installed editable."""
    source: tuple[RelativePath, ...] = ()
    """Directories, relative to the project directory, that are put on Python's path."""
    build: tuple[PackageName, ...] = ()
    """Normalised names of the packages that may be built from a source distribution."""
    programs: Mapping[PackageName, Annotated[tuple[ProgramRule, ...], Parsed(_program_rules, Any, '"…/bin/*"')]] = {}
    """By the wheel's normalised name: its rules, written as a glob, a table of names and files, or a list of both."""

    @property
    def range(self) -> str | None:
        """The PEP 440 specifier in `version`."""
        return self.version.range if isinstance(self.version, PythonRange) else self.version

    @property
    def locks_every_python(self) -> bool:
        """Whether the lock is for every Python of the range, and not for one minor version."""
        return isinstance(self.version, PythonRange) and self.version.lock == "all"


MatchSpec = Annotated[str, Parsed(notations.match_spec)]
Version = Annotated[str, Parsed(notations.version_number)]


class CondaDependency(_Value, frozen=True):
    """The table form of an entry of `dependencies` in `[plugins.esker.conda]`."""

    spec: MatchSpec
    systems: tuple[Annotated[str, Parsed(notations.system)], ...] | None = None
    """The systems that need the package; None means all."""


class SystemRequirements(_Value, frozen=True):
    """What every machine of the environment's systems has at least; what is not stated has a default (`lock.conda`)."""

    linux: Version | None = None
    """The version of the kernel."""
    libc: Version | None = None
    """The version of glibc."""
    macos: Version | None = None
    cuda: Version | None = None
    """The version of CUDA that the graphics driver supports; without it there is none."""
    archspec: Word | None = None
    """The microarchitecture of the processor, by its name in archspec, such as `x86_64_v3`."""


class CondaTable(_Value, frozen=True):
    """`[plugins.esker.conda]`: packages of conda channels."""

    channels: tuple[Annotated[str, Parsed(notations.channel)], ...] = ("conda-forge",)
    """Names or addresses; a package comes from the first channel that has it in any version."""
    dependencies: tuple[MatchSpec | CondaDependency, ...] = ()
    system_requirements: SystemRequirements = SystemRequirements()

    def specs_for(self, system: str) -> tuple[str, ...]:
        """Return the specs that a system needs, in their order."""
        entries = (CondaDependency(spec=each) if isinstance(each, str) else each for each in self.dependencies)
        return tuple(each.spec for each in entries if each.systems is None or system in each.systems)


FORMS = ("test", "tcp", "unix", "http", "log")
"""The forms of a health check."""


def _one_form(_: HealthCheck, table: Mapping[str, Any]) -> Iterator[Fault]:
    """A health check has exactly one form, and its test can be run."""
    forms = [form for form in FORMS if form in table]
    if not forms:
        yield Fault((), "the health check does not say what to check", "add one of test, tcp, unix, http, log")
    for form in forms[1:]:
        message = f"a health check has one form, but this one has both `{forms[0]}` and `{form}`"
        yield Fault((form,), message, "keep one of them")
    test = table.get("test")
    if test in ("", []):
        yield Fault(("test",), "the test is empty", 'write shell text, or a list of words, such as ["pg_isready"]')
    elif isinstance(test, list) and str(test[0]) in {"CMD", "CMD-SHELL", "NONE"}:
        hint = "begin with the program; for shell text write a string" if test[0] != "NONE" else "remove the check"
        yield Fault(("test",), f"`{test[0]}` is Compose's marker, not a program", hint)


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


def _oneshot_ends(_: ServiceTable, table: Mapping[str, Any]) -> Iterator[Fault]:
    """A oneshot service is done when it has ended, so it must not be restarted for that."""
    if table.get("type") == "oneshot" and table.get("restart") == "always":
        yield Fault(("restart",), '`restart = "always"` would start a oneshot again for ever', 'write "on-failure"')


_RESTARTS = (
    *(("unless-stopped", "always"), ("on_failure", "on-failure"), ("exit_on_failure", "no"), ("never", "no")),
    *(("true", "always"), ("false", "no")),
)
"""What Compose, process-compose and systemd call it."""
_KEYS = (
    *manifest_services.WORDS,
    ("command", "the command is in `[services.NAME]`"),
    ("vars", "write `vars` in `[services.NAME]`"),
    *((key, "write it in `[services.NAME]`") for key in ("is-daemon", "shutdown", "systems", "systemd")),
    *((word, "write `healthcheck`") for word in ("readiness_probe", "liveness_probe", "ready")),
)


class ServiceTable(_Value, frozen=True):
    """`[plugins.esker.services.NAME]`; times in seconds."""

    type: Literal["simple", "oneshot"] = "simple"
    depends_on: Mapping[str, Condition] = {}
    healthcheck: Annotated[HealthCheck | None, Checked(_one_form)] = None
    restart: Annotated[Literal["no", "on-failure", "always"], Elsewhere(_RESTARTS)] = "no"
    max_restarts: Count = 3
    backoff: Duration = 0.1
    """The pause before the first restart; it doubles with each restart, up to 10 s."""
    stop_signal: Annotated[str, Parsed(notations.signal_name)] = "SIGTERM"
    stop_grace_period: Duration = 10.0
    ports: Mapping[VariableName, Annotated[int, Parsed(notations.port, example="5432")]] = {}
    """Variable name to port; 0 means a free port, which this checkout then keeps."""
    pass_env: tuple[VariableName, ...] = ()
    user: Word | None = None


class ContainerTable(_Value, frozen=True):
    """`[plugins.esker.compose.services.NAME]`: what Esker adds to a service of a Compose file."""

    depends_on: Mapping[str, Condition] = {}
    """Services of this machine that it waits for; those of the Compose file stand there."""
    ports: Mapping[VariableName, Annotated[int, Parsed(notations.fixed_port)]] = {}
    """Variable name to a port of the container; the variable gets the port of this machine that leads there."""


class ComposeTable(_Value, frozen=True):
    """`[plugins.esker.compose]`: services that run in containers."""

    file: RelativePath | None = None
    """The Compose file; None means those that Compose itself would take."""
    services: tuple[Word, ...] | Mapping[Word, ContainerTable] = ()
    """Names of the services to use, empty for all of them; or a table for each service that Esker adds to."""
    services_from: Literal["supervised", "compose"] | None = None
    """Which counts of two declarations of one service: that of `[services]`, or that of the Compose file."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the services to use; empty means all of them."""
        return self.services if isinstance(self.services, tuple) else ()

    @property
    def tables(self) -> Mapping[str, ContainerTable]:
        """What Esker adds to services, by their names."""
        return {} if isinstance(self.services, tuple) else self.services


ToolName = Literal["native", "nix", "guix"]
"""The runtimes that a `.flox` can ask for."""


class NixTable(_Value, frozen=True):
    """`[plugins.esker.nix]`: what of a flake or a shell.nix the environment is."""

    shell: Word | None = None
    """The name of a devShell, or the attribute of a shell.nix; None means the default one."""
    watch: tuple[RelativePath, ...] = ()
    """Patterns of further files, relative to the project, that decide about the result."""
    override_inputs: Mapping[Word, Word] = {}
    """Inputs of the flake by name, and what is taken in their place."""


class GuixTable(_Value, frozen=True):
    """`[plugins.esker.guix]`: the files in the project that the environment of Guix is made from."""

    manifest: RelativePath = "manifest.scm"
    channels: RelativePath = "channels.scm"
    """The revision of Guix, if the file is there."""
    setup: RelativePath = "setup-env.sh"
    """What a bash sources at each start, if the file is there."""
    watch: tuple[RelativePath, ...] = ()
    """Patterns of further files, relative to the project, that decide about the result."""


def _no_dependency_cycle(services: Mapping[str, ServiceTable], _: object) -> Iterator[Fault]:
    """No service depends on itself, directly or through others."""
    loop = cycle({name: service.depends_on.keys() & services.keys() for name, service in services.items()})
    if loop:
        message = f"Found a dependency cycle among services: {' → '.join(loop)}"
        yield Fault((loop[0], "depends-on"), message, "remove one of these dependencies")


def _one_service_a_port_variable(services: Mapping[str, ServiceTable], _: object) -> Iterator[Fault]:
    """No two services use the same variable for a port."""
    uses = Counter(variable for service in services.values() for variable in service.ports)
    for name, service in services.items():
        for variable in service.ports:
            if uses[variable] > 1:
                message = f"`{variable}` is a port of more than one service"
                yield Fault((name, "ports", variable), message, "give each service its own variable")


def _runner_labels(value: Any) -> tuple[str, ...]:
    return notations.runner_labels(value)


def _command_lines(value: Any) -> tuple[str, ...]:
    return notations.command_lines(value)


class CiTable(_Value, frozen=True):
    """`[plugins.esker.ci]`: what `esker ci` writes that nothing else in the project says."""

    test: Annotated[tuple[str, ...], Parsed(_command_lines, Any, '"pytest"')] = ()
    """Shell commands, of which each runs if the one before it has succeeded."""
    action: Annotated[str | None, Parsed(notations.action)] = None
    """Where GitHub finds Esker's action: `OWNER/REPOSITORY@REF`, or `./DIRECTORY` of the same repository."""
    image: Annotated[str | None, Parsed(notations.image_of_job)] = None
    """The image in which GitLab runs the job."""
    without_packages: bool = False
    """Whether the job leaves packages of `[install]` out, because its machine has what the tests need."""
    runners: Mapping[System, Annotated[tuple[str, ...], Parsed(_runner_labels, Any, '["self-hosted", "linux"]')]] = {}
    """The labels of machines for systems: `runs-on` on GitHub, `tags` on GitLab; the host's own machines elsewhere."""


class EskerTable(_Value, frozen=True):
    """`[plugins.esker]`."""

    python: Annotated[PythonTable | None, Checked(_of_a_project)] = None
    conda: CondaTable | None = None
    services: Annotated[
        Mapping[str, Annotated[ServiceTable, Checked(_oneshot_ends), Elsewhere(_KEYS)]],
        Checked(_no_dependency_cycle),
        Checked(_one_service_a_port_variable),
    ] = {}
    compose: ComposeTable | None = None
    ci: CiTable = CiTable()
    runtime: ToolName = "native"
    """What gives the toolchain besides Esker's own store, if anything does: a flake or shell.nix, or a manifest.scm."""
    nix: NixTable = NixTable()
    guix: GuixTable = GuixTable()
    image: ImageTable | None = None


class Layers(NamedTuple):
    """What an environment is merged from if it includes others."""

    compose: Compose
    """The manifests, as the lock has them."""
    esker: Mapping[str, Any]
    """`[plugins.esker]` of all layers, merged key by key, as plain values."""
    locks: tuple[str, ...]
    """The paths of the layers' locks that decide about it; some may be missing."""
    problems: tuple[EskerError, ...]
    """Why layers could not be read; for these, `esker` has what the lock has recorded."""
    fetched: tuple[Lockfile, ...] = ()
    """The locks of layers that are merged anew, which may hold packages that the environment's own lock lacks."""


class Declaration(_Value, frozen=True):
    """A project's environment as it was declared."""

    project: str
    """The project directory, absolute, with links resolved."""
    name: str
    """The environment's name, from env.json."""
    manifest: Manifest
    """The manifest; if it includes other environments and its lock is current, what the lock has merged."""
    esker: EskerTable = EskerTable()
    merged_from: Manifest | None = None
    """The project's own manifest, if `manifest` is merged from it and from the environments that it includes."""
    layers: Layers | None = None
    """The environments that `manifest` is merged from, with the project's own."""
    state: str | None = None
    """The directory that stands for `.flox` in a project that has none, absolute; None if it has one."""
    pyproject: str | None = None
    """The text that the pyproject.toml of `esker.python.project` is to have; None means that the file has it."""

    @property
    def own_manifest(self) -> Manifest:
        """The manifest as the project's file has it."""
        return self.merged_from or self.manifest

    @property
    def dot_flox(self) -> str:
        """The `.flox` directory, or the one that stands for it; absolute."""
        return self.state or f"{self.project}/.flox"

    def services_for(self, system: str) -> dict[str, Service]:
        """Return the services that are declared for `system`, by name."""
        if self.manifest.services is None:
            return {}
        declared = self.manifest.services.services
        return {name: declared[name] for name in declared if system in (declared[name].systems or (system,))}

    @property
    def uses_compose(self) -> bool:
        """Whether services may come from Compose files: the manifest says so, or declares no services at all."""
        return self.esker.compose is not None or not (self.manifest.services and self.manifest.services.services)

    def dependencies_for(self, name: str, system: str) -> dict[str, JoinedCondition]:
        """Return what must have happened to other services before `name` starts: what both of its tables say.

        As in Flox, a dependency of `[services]` on a service that is declared for other systems alone does not count.
        """
        services = self.manifest.services.services if self.manifest.services else {}
        table, here = self.esker.services.get(name), self.services_for(system)
        flox = {
            target: JOINED[dependency.condition]
            for target, dependency in (services[name].depends_on or {}).items()
            if target in here or target not in services
        }
        return {**flox, **(table.depends_on if table else {})}
