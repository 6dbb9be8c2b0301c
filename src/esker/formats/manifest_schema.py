"""The schema of a manifest: the tables and keys of every schema version, as types that `tables.reader` reads.

The order of the fields is the order of the keys in a lock. docs/reference/manifest.md says what each key means. Where
Flox has a message for a mistake, ours is the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from esker.formats.manifest_services import Services, daemons_can_stop, shutdowns_are_possible
from esker.formats.manifest_values import ManifestTable, Natural, Systems, VariableName, plain
from esker.formats.references import variable_cycle
from esker.formats.tables.reader import Checked, Expected, Fault, Parsed, Refusal, Since

SCHEMAS = ("1", "1.10.0", "1.11.0", "1.12.0", "1.13.0", "1.14.0", "1.15.0", "1.16.0", "1.17.0", "1.18.0", "1.19.0")
LATEST = SCHEMAS[-1]
PLUGINS_SINCE = "1.14.0"
"""The first schema that has `[plugins]`."""


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


def _no_cycle(variables: Mapping[str, str], _: object) -> Iterator[Fault]:
    loop = variable_cycle(variables)
    if loop:
        message = (
            f"Found a reference cycle in the '[vars]' section: {' → '.join(loop)}.\n"
            "Remove one of these references so the variables no longer form a loop."
        )
        yield Fault(loop[:1], message, f"the loop begins at `{loop[0]}`")


Outputs = Annotated[Literal["all"] | tuple[str, ...], Since("1.10.0")]


# The tables.


class CatalogPackage(ManifestTable, frozen=True):
    """A package from a catalogue."""

    pkg_path: str
    pkg_group: str | None = None
    priority: Natural | None = None
    version: str | None = None
    systems: Systems | None = None
    outputs: Outputs | None = None


class FlakePackage(ManifestTable, frozen=True):
    """A package from a Nix flake."""

    flake: str
    priority: Natural | None = None
    systems: Systems | None = None
    outputs: Outputs | None = None


class StorePathPackage(ManifestTable, frozen=True):
    """A package that is given by its store path."""

    store_path: str
    systems: Systems | None = None
    priority: Natural | None = None


Package = CatalogPackage | FlakePackage | StorePathPackage


class Hook(ManifestTable, frozen=True):
    """Bash code: one script for when the environment starts, one for after its last user has left."""

    on_activate: str | None = None
    on_deactivate: Annotated[str | None, Since("1.15.0")] = None


class ProfileScripts(ManifestTable, frozen=True):
    """Code for each shell; every shell reads `common` before its own."""

    common: str | None = None
    bash: str | None = None
    zsh: str | None = None
    fish: str | None = None
    tcsh: str | None = None


class Profile(ProfileScripts, frozen=True):
    """Shell code that every attached shell reads, and in `deactivate` the code that undoes it."""

    deactivate: Annotated[ProfileScripts | None, Since("1.13.0")] = None


class Allow(ManifestTable, frozen=True):
    """Which packages may be locked."""

    unfree: bool | None = None
    broken: bool | None = None
    licenses: tuple[str, ...] | None = None


class Semver(ManifestTable, frozen=True):
    """How version ranges are resolved."""

    allow_pre_releases: bool | None = None


class ActivateOptions(ManifestTable, frozen=True):
    """How the environment is activated unless the command says otherwise."""

    mode: Literal["dev", "run"] | None = None
    upgrade_notifications: Annotated[bool | None, Since("1.18.0")] = None


class Options(ManifestTable, frozen=True):
    """Options of the whole environment."""

    systems: Systems | None = None
    allow: Allow | None = None
    semver: Semver | None = None
    cuda_detection: bool | None = None
    activate: ActivateOptions | None = None
    stability: Annotated[str | None, Since("1.19.0")] = None


class BuildVersionFile(ManifestTable, frozen=True):
    """A version that is read from a file."""

    file: str


class BuildVersionCommand(ManifestTable, frozen=True):
    """A version that a command prints."""

    command: str


class Build(ManifestTable, frozen=True):
    """How a package is built from the project."""

    command: str
    runtime_packages: tuple[str, ...] | None = None
    """Install ids of the packages that the result needs; None means every package of the group `toplevel`."""
    sandbox: Literal["off", "pure"] | Annotated[Literal["warn", "enforce"], Since("1.13.0")] | None = None
    sandbox_allow: Annotated[tuple[str, ...] | None, Since("1.13.0")] = None
    version: str | BuildVersionFile | BuildVersionCommand | None = None
    description: str | None = None
    license: tuple[str, ...] | None = None


class ContainerConfig(ManifestTable, frozen=True):
    """The OCI configuration of an image that is made from the environment."""

    user: str | None = None
    exposed_ports: frozenset[str] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: frozenset[str] | None = None
    working_dir: str | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str | None = None


class Containerize(ManifestTable, frozen=True):
    """The `[containerize]` table."""

    config: ContainerConfig | None = None


class IncludedDirectory(ManifestTable, frozen=True):
    """An environment in a directory; the path is relative to the project directory."""

    dir: str
    name: str | None = None


class IncludedRemote(ManifestTable, frozen=True):
    """An environment that is fetched by its owner and name."""

    remote: Annotated[str, Parsed(_environment_reference)]
    name: str | None = None
    generation: Natural | None = None


class IncludedReference(ManifestTable, frozen=True):
    """An IncludedRemote that is written with the key `reference`, an alias of `remote`."""

    reference: Annotated[str, Parsed(_environment_reference)]
    name: str | None = None
    generation: Natural | None = None


Included = IncludedDirectory | IncludedRemote | IncludedReference


class Include(ManifestTable, frozen=True):
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


class MinimumVersion(ManifestTable, frozen=True):
    """The oldest version of the command that may be used, and why."""

    version: Annotated[str, Parsed(_version)]
    reason: str | None = None


class PackageGroup(ManifestTable, frozen=True):
    """How the packages of one group are resolved."""

    stability: str | None = None


class Manifest(ManifestTable, frozen=True):
    """A whole manifest. Maps are sorted by name."""

    schema: str = msgspec.field(name="schema-version")
    """`1` for the legacy `version = 1`, otherwise the schema version, such as `1.14.0`."""
    description: Annotated[str | None, Since("1.17.0")] = None
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
    pkg_groups: Annotated[Mapping[str, PackageGroup], Since("1.19.0")] = {}
    vars: Annotated[Mapping[VariableName, str], Checked(_no_cycle)] = {}
    hook: Hook | None = None
    profile: Profile | None = None
    options: Options = Options()
    services: Annotated[Services | None, Checked(daemons_can_stop), Checked(shutdowns_are_possible)] = None
    build: Mapping[str, Build] = {}
    containerize: Containerize | None = None
    include: Include | None = None
    plugins: Annotated[Mapping[str, Annotated[Any, Parsed(plain)]], Since(PLUGINS_SINCE)] = {}
    """Tables that belong to other programs, as plain values: the only untyped part of a manifest."""
