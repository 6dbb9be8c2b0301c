"""The plan of a realised project: everything that the next activations need to know, and what would make it stale."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.activate.allocation import allocate, expected
from esker.activate.compose.exports import Exports, compose_exports
from esker.formats.manifest import Manifest, MinimumVersion, vars_in_order
from esker.host.certificates import certificate_bundle
from esker.host.runtime_directory import directory_name
from esker.lock.lock_files import lock_paths
from esker.realise.conda.activation import activation_script
from esker.services.supervised.planned import kept_services

if TYPE_CHECKING:
    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.runtimes.foreign.result import Result
    from esker.settings import Settings

__all__ = ["Target", "declared_mode", "planned"]


class Target(NamedTuple):
    """What an activation leads to."""

    link: str
    """The run link; it need not be there yet."""
    profile: str
    """The store path that it leads to."""
    generation: int | None = None
    """The number of the generation that was asked for, if one was."""
    toolchain: Result | None = None
    """What another tool gives besides, if the manifest names one."""

    @classmethod
    def of(cls, link: str) -> Target:
        """Return where a run link leads."""
        return cls(link, os.readlink(link))


def planned(
    declaration: Declaration,
    mode: str,
    target: Target,
    sources: tuple[plans.Fingerprint, ...],
    settings: Settings,
    missing: tuple[str, ...] = (),
    *,
    keep_ports: bool = True,
) -> Plan:
    """Return the plan of a project in a mode.

    `sources` are the files that the declaration was read from, as they were before. `missing` are the packages that
    were left out. Without `keep_ports`, automatic ports are only looked up, and nothing is written.
    """
    manifest = declaration.manifest
    profile, hook, services = manifest.profile, manifest.hook, manifest.services
    names = ("common", "bash", "zsh", "fish", "tcsh")
    scripts = {name: getattr(profile, name) for name in names} if profile else {}
    undo = profile.deactivate if profile else None
    paths = lock_paths(declaration)
    locks = [paths["manifest"], paths["python"], *([paths["conda"]] if declaration.esker.conda else [])]
    # Through the link: the profile, the environment and the host's interpreter all have to be where they were.
    link = target.link
    anchor = f"{link}/bin/python" if os.path.lexists(f"{link}/bin/python") else link
    before = plans.fingerprints((*locks, anchor))
    exports = compose_exports(declaration, settings) if keep_ports else Exports({}, (), ())
    stats, inputs, toolchain = (*sources, *before, *exports.stats), exports.inputs, target.toolchain
    if toolchain is not None:
        stats, inputs = (*stats, *toolchain.stats), (*toolchain.inputs, *inputs)
    ports = allocate(declaration, settings) if keep_ports else expected(declaration, settings)
    plan = plans.Plan(
        project=declaration.project,
        name=declaration.name,
        mode=mode,
        default=mode == declared_mode(declaration),
        system=settings.system,
        flox_env=link,
        store_path=target.profile,
        runtime_name=directory_name(declaration.dot_flox),
        stats=stats,
        choices=settings.choices,
        generation=target.generation,
        missing=missing,
        vars=vars_in_order(manifest.vars),
        ports=ports,
        compose=exports.variables,
        inputs=inputs,
        packages_script=activation_script(target.profile) if declaration.esker.conda else None,
        hook=hook.on_activate if hook else None,
        on_deactivate=hook.on_deactivate if hook else None,
        profile=scripts,
        deactivate={name: getattr(undo, name) for name in names} if undo else {},
        certificates=certificate_bundle(),
        services=kept_services(declaration, settings.system, ports),
        auto_start=bool(services and services.auto_start),
        minimum_version=_minimum_version(manifest),
        **(toolchain.fields() if toolchain else {}),
    )
    return plans.completed(plan)


def _minimum_version(manifest: Manifest) -> list[str | None] | None:
    wished = manifest.minimum_cli_version
    if wished is None:
        return None
    return [wished.version, wished.reason] if isinstance(wished, MinimumVersion) else [wished, None]


def declared_mode(declaration: Declaration) -> str:
    """Return the mode of activation that the manifest asks for, `dev` where it asks for none."""
    options = declaration.manifest.options.activate
    return (options.mode if options else None) or "dev"
