"""Extras that were asked for, and that their packages do not have: uv locks such packages without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from esker.errors import CommandFailed, HostError
from esker.formats.tables.reader import near
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import run_uv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.formats import pylock

__all__ = ["MissingExtra", "missing_extras", "provided_extras"]

_NO_EXTRA = re.compile(r"The package `(?P<package>[^`]+)` does not have an extra named `(?P<extra>[^`]+)`")


class MissingExtra(NamedTuple):
    """An extra that a package does not have."""

    name: str
    version: str
    extra: str

    def told(self, provided: tuple[str, ...] | None) -> str:
        """Return the remark, with the extras that the package has; None stands for unknown ones.

        >>> MissingExtra("app", "1.0", "wbe").told(("cli", "web"))
        '`app` 1.0 has no extra `wbe`: nothing is installed for it; did you mean `web`?'
        """
        remark = f"`{self.name}` {self.version} has no extra `{self.extra}`: nothing is installed for it"
        if provided is None:
            return remark
        listed = f"its extras: {', '.join(provided)}" if provided else "it has none"
        return f"{remark}; {near(self.extra, provided) or listed}"


def missing_extras(output: str, inputs: pylock.Inputs) -> Iterator[MissingExtra]:
    """Yield each extra that was asked for and that its package does not have, as uv tells it in its `output`.

    What other packages ask for is their authors' business.
    """
    wanted: dict[str, set[str]] = {}
    for requirement in map(Requirement, inputs.requirements):
        extras = map(canonicalize_name, requirement.extras)
        wanted.setdefault(canonicalize_name(requirement.name), set()).update(extras)
    for match in _NO_EXTRA.finditer(output):
        name, _, version = match["package"].partition("==")
        if canonicalize_name(match["extra"]) in wanted.get(canonicalize_name(name), ()):
            yield MissingExtra(name, version, match["extra"])


def provided_extras(
    name: str, version: str, executable: str, tools: Mapping[str, str], configuration: str
) -> tuple[str, ...] | None:
    """Return the extras of a package, or None if no wheel of it can be looked into here.

    The wheel is fetched into uv's cache, where its installation takes it from. `executable` is the interpreter that it
    has to fit, `tools` are the variables that uv is run with, and `configuration` is a uv.toml with the indexes.
    """
    with scratch("extras") as directory, files.refused("look into a package in", directory):
        with open(f"{directory}/uv.toml", "w", encoding="utf-8") as file:
            file.write(configuration)
        options = ["--no-deps", "--only-binary", ":all:", "--config-file", "uv.toml", "--python", executable]
        try:
            run_uv(["pip", "install", *options, "--target", "tree", f"{name}=={version}"], tools, cwd=directory)
        except (CommandFailed, HostError):
            return None
        from importlib.metadata import distributions  # it takes long to import

        found = list(distributions(path=[f"{directory}/tree"]))
        extras = found[0].metadata.get_all("Provides-Extra") if found else None
        return tuple(sorted(extras or ()))
