"""What conda packages ask an activation to set: `etc/conda/activate.d/*.sh` and `etc/conda/env_vars.d/*.json`."""

from __future__ import annotations

import glob
import os
import re
import shlex
from typing import TYPE_CHECKING

from esker.errors import InvalidFile, RealisationFailed
from esker.formats.untrusted import json_value
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["activation_script"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSET = "***unset***"
"""The value by which conda says that a variable is not to be set."""


def activation_script(profile: str) -> str | None:
    """Return what bash runs for the conda packages of a profile, as one line; None if they ask for nothing.

    CONDA_PREFIX is set for it to the prefix of the packages. Raises RealisationFailed for a file of variables that is
    not as conda has it.
    """
    directory = os.path.realpath(f"{profile}/etc/conda")
    scripts = sorted(glob.glob(f"{glob.escape(directory)}/activate.d/*.sh"))
    settings = sorted(glob.glob(f"{glob.escape(directory)}/env_vars.d/*.json"))
    if not scripts and not settings:
        return None
    prefix = os.path.realpath((scripts or settings)[0]).rpartition("/etc/conda/")[0]
    commands = [f"export CONDA_PREFIX={shlex.quote(prefix)}"]
    commands += [command for path in settings for command in _settings(path)]
    commands += [f". {shlex.quote(path)}" for path in scripts]
    return "; ".join(commands)


def _settings(path: str) -> Iterator[str]:
    try:
        values = json_value(files.read_text(path, InvalidFile))
    except ValueError as error:
        raise _wrong(path, f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise _wrong(path, "not a table of variables")
    for name, value in values.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise _wrong(path, f"`{name}` is not a variable with a text")
        if "\n" in value:
            yield f"export {name}=$'{_escaped(value)}'"
        else:
            yield f"unset {name}" if value == _UNSET else f"export {name}={shlex.quote(value)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _wrong(path: str, what: str) -> RealisationFailed:
    return RealisationFailed(
        f"`{path}` of a conda package is wrong: {what}",
        hint="take that package out, or use another version of it",
    )
