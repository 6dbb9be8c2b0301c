"""Resolving the packages of conda channels for every system of an environment."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from esker.errors import InvalidLock, ResolutionFailed
from esker.formats.conda.specs import package_of_spec
from esker.formats.conda.subdirs import SUBDIRS
from esker.formats.tables.reader import near
from esker.lock.conda.channels import opened, unanswered
from esker.lock.conda.client import await_result
from esker.lock.conda.lock_file import CondaLock, records, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rattler import GenericVirtualPackage, RepoDataRecord

    from esker.lock.conda.channels import Channels
    from esker.lock.conda.inputs import CondaInputs
    from esker.settings import Settings

__all__ = ["resolve", "solved_for"]

_NO_CANDIDATES = re.compile(r"No candidates were found for (\S+?)\.?(?:\s|$)")
_OF_A_MACHINE = re.compile(r"\b__(archspec|cuda|glibc|linux|osx)\b")


def resolve(
    inputs: CondaInputs,
    settings: Settings,
    project: str,
    *,
    previous: CondaLock | None = None,
    path: str,
    changed: frozenset[str] = frozenset(),
) -> str:
    """Return the text of the lock of `inputs`.

    A package that the lock `previous`, at `path`, has stays at its version unless it is among `changed` or does not fit
    any more. `project` is the directory that relative channels begin at. Raises ResolutionFailed, which names package
    and system, and HostError where a channel cannot be reached.
    """
    channels = opened(inputs.channels, settings, project)
    locked = _kept(previous, path, changed)
    found = await_result(_solved(inputs, channels, locked))
    return render(inputs.digest(), [channel.base_url for channel in channels.channels], found)


def _kept(previous: CondaLock | None, path: str, changed: frozenset[str]) -> dict[str, list[RepoDataRecord]]:
    if previous is None:
        return {}
    try:
        before = records(previous, path)
    except InvalidLock:
        return {}
    return {
        system: [each for each in packages if each.name.normalized not in changed]
        for system, packages in before.items()
    }


async def _solved(
    inputs: CondaInputs,
    channels: Channels,
    locked: Mapping[str, Sequence[RepoDataRecord]],
) -> dict[str, list[RepoDataRecord]]:
    solved = await asyncio.gather(
        *(solved_for(system, inputs, channels, locked.get(system, [])) for system in inputs.systems),
        return_exceptions=True,
    )
    failures = [each for each in solved if isinstance(each, BaseException)]
    # Systems that wait for one request all fail with it, and only the one that made it is told why.
    if failures:
        raise min(failures, key=lambda each: "coalesced" in str(each))
    return dict(zip(inputs.systems, solved, strict=True))  # type: ignore[arg-type]


async def solved_for(
    system: str,
    inputs: CondaInputs,
    channels: Channels,
    locked: Sequence[RepoDataRecord],
) -> list[RepoDataRecord]:
    """Return the packages of one system, in the order of their names; raises as `resolve` does."""
    from rattler import solve
    from rattler.exceptions import (
        FetchRepoDataError,
        GatewayError,
        SolverError,
    )

    subdir = SUBDIRS[system]
    specs = inputs.specs[system]
    if not specs:
        return []
    for spec in specs:
        _check(spec)
    try:
        found = await solve(
            channels.channels,
            list(specs),
            gateway=channels.gateway,
            platforms=[subdir, "noarch"],  # type: ignore[list-item]
            locked_packages=list(locked),
            constraints=list(inputs.constraints),
            virtual_packages=[_virtual_package(each) for each in inputs.machines[system]],
        )
    except SolverError as error:
        raise await _refusal(str(error), system, inputs, channels) from error
    except (GatewayError, FetchRepoDataError, OSError) as error:
        raise unanswered(str(error), channels) from error
    for record in found:
        if record.sha256 is None:
            raise ResolutionFailed(
                f"the channel gives no sha256 for `{record.name.normalized}` {record.version}",
                hint="use a channel that does, or another version",
            )
    return sorted(found, key=lambda record: record.name.normalized)


def _check(spec: str) -> None:
    """Raise ResolutionFailed, which names it, if the solver cannot read a spec."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError, InvalidPackageNameError

    try:
        MatchSpec(spec)
    except (InvalidMatchSpecError, InvalidPackageNameError, ValueError) as error:
        raise ResolutionFailed(
            f"`{spec}` is not the spec of a conda package: {error}", hint='write it as in "ruby>=3.4" or "ruby 3.4.*"'
        ) from error


def _virtual_package(text: str) -> GenericVirtualPackage:
    from rattler import GenericVirtualPackage, PackageName, Version
    from rattler.package import BuildString

    name, version, build = text.split("=")
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


async def _refusal(told: str, system: str, inputs: CondaInputs, channels: Channels) -> ResolutionFailed:
    """Return the error for what the solver said."""
    told = told.removeprefix("Cannot solve the request because of: ").strip()
    named = ", ".join(inputs.channels)
    missing = _NO_CANDIDATES.match(told)
    if missing is None:
        hint = "widen one of the specs in `dependencies`, or limit it to the systems that have it"
        if _OF_A_MACHINE.search(told):
            hint = "state what the machines have in `system-requirements` of [plugins.esker.conda]"
        return ResolutionFailed(f"the conda packages cannot be locked for {system}:\n{told}", hint=hint)
    name = package_of_spec(missing[1]) or missing[1]
    spec = next((each for each in inputs.specs[system] if package_of_spec(each) == name), missing[1])
    having = await _systems_with(name, channels)
    if system in having:
        return ResolutionFailed(
            f"`{spec}` matches no version of {name} for {system} in {named}",
            hint=f"see which there are: esker show conda/{name}",
        )
    if having:
        listed = ", ".join(f'"{each}"' for each in having)
        hint = f'limit it to those that have it, by esker edit: {{ spec = "{spec}", systems = [{listed}] }}'
        return ResolutionFailed(f"there is no conda package `{name}` for {system} in {named}", hint=hint)
    names = await _names(list(SUBDIRS.values()), channels)
    hint = near(name, names) or f"search for its name: esker search {name}"
    return ResolutionFailed(f"there is no conda package `{name}` in {named}", hint=hint)


async def _systems_with(name: str, channels: Channels) -> list[str]:
    """Return the systems for which channels have a package in any version."""
    return [system for system, subdir in SUBDIRS.items() if name in await _names([subdir], channels)]


async def _names(subdirs: list[str], channels: Channels) -> list[str]:
    """Return the names of the packages in directories of channels, and in `noarch`; none where they do not answer."""
    from rattler.exceptions import FetchRepoDataError, GatewayError

    places: list[Any] = [*subdirs, "noarch"]
    try:
        return [each.normalized for each in await channels.gateway.names(channels.channels, places)]
    except (FetchRepoDataError, GatewayError, OSError):  # what the solver said is the better reason
        return []
