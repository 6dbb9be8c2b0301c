"""The manifest: what a developer declares, as Flox lays it down in `.flox/env/manifest.toml`.

"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Text = str


class _Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """A table with fixed keys: TOML and JSON spell them in kebab case."""


class CatalogPackage(_Table, frozen=True):
    """A package of a catalogue."""

    pkg_path: str
    pkg_group: str | None = None
    version: str | None = None
    systems: tuple[str, ...] | None = None
    priority: int | None = None
    outputs: Literal["all"] | tuple[str, ...] | None = None


class FlakePackage(_Table, frozen=True):
    """A package of a Nix flake."""

    flake: str
    systems: tuple[str, ...] | None = None
    priority: int | None = None
    outputs: Literal["all"] | tuple[str, ...] | None = None


class StorePathPackage(_Table, frozen=True):
    """A package that is a path of the store."""

    store_path: str
    systems: tuple[str, ...] | None = None
    priority: int | None = None


Package = CatalogPackage | FlakePackage | StorePathPackage


class Hook(_Table, frozen=True):
    """Bash text that runs once a start, and once after the last user has left."""

    on_activate: str | None = None
    on_deactivate: str | None = None


class ProfileScripts(_Table, frozen=True):
    """Shell text by shell; `common` is read by every shell before its own."""

    common: str | None = None
    bash: str | None = None
    zsh: str | None = None
    fish: str | None = None
    tcsh: str | None = None


class Profile(ProfileScripts, frozen=True):
    """Shell text that every attached shell reads, and what undoes it."""

    deactivate: ProfileScripts | None = None


class Shutdown(_Table, frozen=True):
    """How a daemon is told to stop."""

    command: str


class Service(_Table, frozen=True):
    """One service, in Flox's words."""

    command: str
    vars: Mapping[str, str] | None = None
    is_daemon: bool | None = None
    shutdown: Shutdown | None = None
    systems: tuple[str, ...] | None = None
    systemd: Mapping[str, Any] | None = None


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The `[services]` table: one key of its own, every other key a service."""

    auto_start: bool | None = None
    services: Mapping[str, Service] = {}


class Allow(_Table, frozen=True):
    """Which packages may be locked."""

    unfree: bool | None = None
    broken: bool | None = None
    licenses: tuple[str, ...] | None = None


class Semver(_Table, frozen=True):
    """How version ranges are read."""

    allow_pre_releases: bool | None = None


class ActivateOptions(_Table, frozen=True):
    """How the environment is activated when nothing else is said."""

    mode: Literal["dev", "run"] | None = None


class Options(_Table, frozen=True):
    """Options of the whole environment."""

    systems: tuple[str, ...] | None = None
    allow: Allow | None = None
    semver: Semver | None = None
    cuda_detection: bool | None = None
    activate: ActivateOptions | None = None


class MinimumVersion(_Table, frozen=True):
    """The oldest command that may be used, and why."""

    version: str
    reason: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole manifest; maps are sorted by name, absent tables are None."""

    schema: str
    """`1` for the legacy `version = 1`, else the schema version, such as `1.14.0`."""
    minimum_cli_version: str | MinimumVersion | None = None
    install: Mapping[str, Package] = {}
    vars: Mapping[str, str] = {}
    hook: Hook | None = None
    profile: Profile | None = None
    services: Services | None = None
    options: Options = Options()
    include: Any = None
    build: Any = None
    containerize: Any = None
    plugins: Mapping[str, Any] = {}
    """Free tables of other programs, as plain TOML values; the only untyped part of a manifest."""
