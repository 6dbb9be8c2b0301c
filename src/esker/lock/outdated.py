"""Which locked packages have a newer version on an index, and which bounds hold them back.

uv looks for the versions, in a directory that pretends that the packages are installed.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from packaging.requirements import Requirement

from esker.errors import CommandFailed, HostError
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import is_unreachable, uv_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esker.lock.graph import Need

__all__ = ["Outdated", "bounds", "outdated"]


class Outdated(NamedTuple):
    """A package of which an index, or a conda channel, has a newer version."""

    name: str
    locked: str
    newest: str
    origin: Literal["pypi", "conda"] = "pypi"
    allowed: str | None = None
    """The newest version that the specs allow; None if that was not asked, as of a Python package."""


def outdated(versions: Mapping[str, str], executable: str, tools: Mapping[str, str]) -> list[Outdated]:
    """Return those packages, given with their locked versions, of which there is a newer one for an interpreter.

    What is declared does not count here: a newer version may be out of its bounds. `tools` are the variables that uv is
    run with. Raises HostError when no index answers.
    """
    with scratch("outdated") as directory, files.refused("look for newer packages in", directory):
        for name, version in versions.items():
            info = f"{directory}/{name.replace('-', '_')}-{version}.dist-info"
            os.mkdir(info)
            with open(f"{info}/METADATA", "w", encoding="utf-8") as file:
                file.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        arguments = ["pip", "list", "--outdated", "--format", "json", "--target", directory, "--python", executable]
        try:
            answer = uv_output(arguments, tools, cwd=directory)
        except CommandFailed as failure:
            problem = "no package index answered" if is_unreachable(failure) else failure.message
            raise HostError(f"newer packages could not be looked for: {problem}", hint=failure.hint) from failure
    found = [Outdated(each["name"], each["version"], each["latest_version"]) for each in json.loads(answer)]
    return sorted(found)


def bounds(newer: Sequence[Outdated], needs: Iterable[Need]) -> dict[str, list[Need]]:
    """Return what excludes the newest version of each package, by its name; a package that nothing holds is left out.

    What a package needs in its locked version does not count where that package can be upgraded itself: its newer
    version may need something else.
    """
    newest = {each.name: each.newest for each in newer}
    excluding = [need for need in needs if need.target in newest and _excludes(need.requirement, newest[need.target])]
    held: dict[str, list[Need]] = {}
    while True:
        others = newest.keys() - held.keys()
        firm = [need for need in excluding if need.is_declared or need.source not in newest or need.source in held]
        new = {need.target for need in firm} & others
        held = {name: [need for need in firm if need.target == name] for name in sorted(held.keys() | new)}
        if not new:
            return held


def _excludes(requirement: str, version: str) -> bool:
    return not Requirement(requirement).specifier.contains(version, prereleases=True)
