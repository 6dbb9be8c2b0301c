"""The schema of a manifest: the tables and keys of every schema version, as types that `tables.reader` reads.

The order of the fields is the order of the keys in a lock. docs/reference/manifest.md says what each key means. Where
Flox has a message for a mistake, ours is the same text.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from esker.formats.references import variable_cycle
from esker.formats.systems import SYSTEMS
from esker.formats.tables.reader import Checked, Expected, Fault, Parsed, Refusal, Rest, Since

SCHEMAS = ("1", "1.10.0", "1.11.0", "1.12.0", "1.13.0", "1.14.0", "1.15.0")
LATEST = SCHEMAS[-1]
PLUGINS_SINCE = "1.14.0"
"""The first schema that has `[plugins]`."""


def variable_name(name: str) -> str:
    """Return `name` if a manifest may set a variable of that name; raise Refusal if not.

    A shell must be able to set it. Names that begin with `BASH_ENVTRACE_` are reserved by Flox.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise Refusal(f"`{name}` is not the name of a variable", "use letters, digits and underscores, no digit first")
    if name.startswith("BASH_ENVTRACE_"):
        raise Refusal(f"manifest [vars] may not set reserved variable '{name}'", "choose another name")
    return name


def service_name(name: str) -> str:
    """Return `name` if a service can have it: it names the log file too, and one name is reserved."""
    if name == "flox_never_exit":
        raise Refusal(f"the name `{name}` is reserved", "choose another name for the service")
    if not name.isprintable() or "/" in name or name in {"", ".", ".."}:
        raise Refusal(
            f"`{name}` cannot be the name of a service",
            "use printable characters without `/`: the log is a file of that name",
        )
    return name


def system(name: str) -> str:
    """Return `name` if it is a system that Flox supports; raise Refusal if not."""
    if name not in SYSTEMS:
        supported = ", ".join(SYSTEMS)
        message = f"Unrecognized system in manifest: {name}\n\nSupported systems are: {supported}"
        raise Refusal(message, "correct the name, or remove it from the list")
    return name


_SEMANTIC_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_VERSION_EXPECTED = 'Expected a version string or { version = "<version>", reason = "<reason>" }'
_VERSION_HINT = 'write three numbers, such as `minimum-cli-version = "1.14.0"`'


def _version(text: str) -> str:
    if not _SEMANTIC_VERSION.fullmatch(text):
        raise Refusal(_VERSION_EXPECTED, _VERSION_HINT)
    return text


def _environment_reference(text: str) -> str:
    if not re.fullmatch(r"[^\s/]+/[^\s/]+", text):
        raise Refusal(f"`{text}` is not the reference of an environment", "write `owner/name`")
    return text


def _natural(number: int) -> int:
    if number < 0:
        raise Refusal(f"`{number}` is below zero", "write zero or more")
    return number


def _auto_start(value: Any) -> bool:
    if isinstance(value, dict):
        raise Refusal("a service cannot be called `auto-start`", "rename it: this key is a setting of [services]")
    if not isinstance(value, bool):
        raise Refusal(f"invalid type: `{value}`, expected a boolean", "write `auto-start = true`")
    return value


_DEEPEST = 64


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a plugin's value in a form that JSON can hold, with the keys of each table sorted."""
    if depth > _DEEPEST:
        raise Refusal("values are nested too deeply", f"nest at most {_DEEPEST} levels: a lock holds no more")
    if isinstance(value, dict):
        return {key: _plain(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(f"a lock cannot hold the number `{value}`", "write it as a string")
    return value


def _no_cycle(variables: Mapping[str, str], _: object) -> Iterator[Fault]:
    loop = variable_cycle(variables)
    if loop:
        message = (
            f"Found a reference cycle in the '[vars]' section: {' → '.join(loop)}.\n"
            "Remove one of these references so the variables no longer form a loop."
        )
        yield Fault(loop[:1], message, f"the loop begins at `{loop[0]}`")


def _daemons_can_stop(_: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    for name, service in table.items():
        if isinstance(service, dict) and service.get("is-daemon") is True and "shutdown" not in service:
            message = (
                "Services that spawn daemon processes must supply a shutdown command.\n\n"
                f"The following services did not specify a shutdown command:\n- {name}"
            )
            yield Fault((name, "is-daemon"), message, 'add `shutdown.command = "…"`, which ends the daemon')


Natural = Annotated[int, Parsed(_natural)]
Systems = tuple[Annotated[str, Parsed(system, is_rule=True)], ...]
Variables = Mapping[Annotated[str, Parsed(variable_name, is_rule=True)], str]
Outputs = Annotated[Literal["all"] | tuple[str, ...], Since("1.10.0")]


# The tables.


class _Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """A table with fixed keys, which TOML and JSON spell in kebab case."""


class CatalogPackage(_Table, frozen=True):
    """A package from a catalogue."""

    pkg_path: str
    pkg_group: str | None = None
    priority: Natural | None = None
    version: str | None = None
    systems: Systems | None = None
    outputs: Outputs | None = None


class FlakePackage(_Table, frozen=True):
    """A package from a Nix flake."""

    flake: str
    priority: Natural | None = None
    systems: Systems | None = None
    outputs: Outputs | None = None


class StorePathPackage(_Table, frozen=True):
    """A package that is given by its store path."""

    store_path: str
    systems: Systems | None = None
    priority: Natural | None = None


Package = CatalogPackage | FlakePackage | StorePathPackage


class Hook(_Table, frozen=True):
    """Bash code: one script for when the environment starts, one for after its last user has left."""

    on_activate: str | None = None
    on_deactivate: Annotated[str | None, Since("1.15.0")] = None


class ProfileScripts(_Table, frozen=True):
    """Code for each shell; every shell reads `common` before its own."""

    common: str | None = None
    bash: str | None = None
    zsh: str | None = None
    fish: str | None = None
    tcsh: str | None = None


class Profile(ProfileScripts, frozen=True):
    """Shell code that every attached shell reads, and in `deactivate` the code that undoes it."""

    deactivate: Annotated[ProfileScripts | None, Since("1.13.0")] = None


class Shutdown(_Table, frozen=True):
    """The command that stops a daemon."""

    command: str


Setting = str | int | float | bool | tuple[str, ...]


class Systemd(_Table, frozen=True):
    """Settings for the systemd unit that `services persist` writes."""

    unit: Mapping[str, Setting] | None = None
    service: Mapping[str, Setting] | None = None


class Service(_Table, frozen=True):
    """One service; the keys are Flox's."""

    command: str
    vars: Variables | None = None
    is_daemon: bool | None = None
    shutdown: Shutdown | None = None
    systemd: Systemd | None = None
    systems: tuple[str, ...] | None = None
    """The systems to run it on; any text, because Flox takes any."""


class Services(_Table, frozen=True):
    """The `[services]` table: `auto-start` is a setting, every other key is the name of a service."""

    auto_start: Annotated[bool | None, Parsed(_auto_start, Any), Since("1.12.0")] = None
    services: Annotated[Mapping[Annotated[str, Parsed(service_name, is_rule=True)], Service], Rest()] = {}


class Allow(_Table, frozen=True):
    """Which packages may be locked."""

    unfree: bool | None = None
    broken: bool | None = None
    licenses: tuple[str, ...] | None = None


class Semver(_Table, frozen=True):
    """How version ranges are resolved."""

    allow_pre_releases: bool | None = None


class ActivateOptions(_Table, frozen=True):
    """How the environment is activated unless the command says otherwise."""

    mode: Literal["dev", "run"] | None = None


class Options(_Table, frozen=True):
    """Options of the whole environment."""

    systems: Systems | None = None
    allow: Allow | None = None
    semver: Semver | None = None
    cuda_detection: bool | None = None
    activate: ActivateOptions | None = None


class BuildVersionFile(_Table, frozen=True):
    """A version that is read from a file."""

    file: str


class BuildVersionCommand(_Table, frozen=True):
    """A version that a command prints."""

    command: str


class Build(_Table, frozen=True):
    """How a package is built from the project."""

    command: str
    runtime_packages: tuple[str, ...] | None = None
    """Install ids of the packages that the result needs; None means every package of the group `toplevel`."""
    sandbox: Literal["off", "pure"] | Annotated[Literal["warn", "enforce"], Since("1.13.0")] | None = None
    sandbox_allow: Annotated[tuple[str, ...] | None, Since("1.13.0")] = None
    version: str | BuildVersionFile | BuildVersionCommand | None = None
    description: str | None = None
    license: tuple[str, ...] | None = None


class ContainerConfig(_Table, frozen=True):
    """The OCI configuration of an image that is made from the environment."""

    user: str | None = None
    exposed_ports: frozenset[str] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: frozenset[str] | None = None
    working_dir: str | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str | None = None


class Containerize(_Table, frozen=True):
    """The `[containerize]` table."""

    config: ContainerConfig | None = None


class IncludedDirectory(_Table, frozen=True):
    """An environment in a directory; the path is relative to the project directory."""

    dir: str
    name: str | None = None


class IncludedRemote(_Table, frozen=True):
    """An environment that is fetched by its owner and name."""

    remote: Annotated[str, Parsed(_environment_reference)]
    name: str | None = None
    generation: Natural | None = None


class IncludedReference(_Table, frozen=True):
    """An IncludedRemote that is written with the key `reference`, an alias of `remote`."""

    reference: Annotated[str, Parsed(_environment_reference)]
    name: str | None = None
    generation: Natural | None = None


Included = IncludedDirectory | IncludedRemote | IncludedReference


class Include(_Table, frozen=True):
    """The environments that are merged into this one, those of the lowest priority first."""

    environments: tuple[
        Annotated[
            Included,
            Expected(
                "expected { dir = <dir>, [name = <name>] } OR { remote = <owner/name>, [name = <name>] }",
                'write `{ dir = "../other" }` or `{ remote = "owner/name" }`',
            ),
        ],
        ...,
    ] = ()


class MinimumVersion(_Table, frozen=True):
    """The oldest version of the command that may be used, and why."""

    version: Annotated[str, Parsed(_version)]
    reason: str | None = None


class Manifest(_Table, frozen=True):
    """A whole manifest. Maps are sorted by name."""

    schema: str = msgspec.field(name="schema-version")
    """`1` for the legacy `version = 1`, otherwise the schema version, such as `1.14.0`."""
    minimum_cli_version: Annotated[
        Annotated[str, Parsed(_version)] | MinimumVersion | None,
        Since("1.11.0"),
        Expected(_VERSION_EXPECTED, _VERSION_HINT),
    ] = None
    install: Mapping[
        str,
        Annotated[
            Package,
            Expected(
                "Expected either a catalog package descriptor, a flake installable or a store path.\n"
                "See https://flox.dev/docs/reference/command-reference/manifest.toml/#package-descriptors for more "
                "information.",
                'write `{ pkg-path = "…" }`, `{ flake = "…" }` or `{ store-path = "…" }`',
            ),
        ],
    ] = {}
    vars: Annotated[Variables, Checked(_no_cycle)] = {}
    hook: Hook | None = None
    profile: Profile | None = None
    options: Options = Options()
    services: Annotated[Services | None, Checked(_daemons_can_stop)] = None
    build: Mapping[str, Build] = {}
    containerize: Containerize | None = None
    include: Include | None = None
    plugins: Annotated[Mapping[str, Annotated[Any, Parsed(_plain)]], Since(PLUGINS_SINCE)] = {}
    """Tables that belong to other programs, as plain values: the only untyped part of a manifest."""
