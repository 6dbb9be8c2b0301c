"""Which locked packages have a newer version on an index: uv looks, in a directory that pretends they are installed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from esker.errors import CommandFailed, HostError
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import is_unreachable, uv_output

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Outdated", "outdated"]


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
