"""Reads a project directory into its declaration, and reports all problems of a file at once."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from esker.declare import notations
from esker.declare.declaration import Declaration
from esker.declare.validate import read_text
from esker.errors import InvalidFile, InvalidManifest, NotFound, Problem
from esker.formats.tables.reader import Parsed, Report, read
from esker.host import files

__all__ = ["environment_name", "load"]

_LARGEST = 4 << 20
_EXAMPLE = 'write {"name": "NAME", "version": 1}'


class _Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """env.json: the environment's name and, if it is kept on FloxHub, its owner there.

    Other keys are ignored, as Flox ignores them; some versions keep an `env_id` for their statistics here.
    """

    name: Annotated[str, Parsed(notations.name_of_environment)]
    version: Annotated[int, Parsed(notations.first_version)]
    owner: str | None = None
    floxhub_url: str | None = None
    floxhub_git_url_override: str | None = None


def load(project: str, manifest: str | None = None) -> Declaration:
    """Return the declaration of `project`; if `manifest` is given, it is read in place of the manifest's own text.

    Raises NotFound if there is no environment or one of its files is missing, InvalidFile with every problem of
    env.json, and InvalidManifest with every problem of the manifest and of `[plugins.esker]` in it.
    """
    project = os.path.realpath(project)
    if not os.path.isdir(f"{project}/.flox"):
        raise NotFound(f"Did not find an environment in `{project}`", hint=f"create one: esker init -d {project}")
    name = environment_name(project)
    path = f"{project}/.flox/env/manifest.toml"
    plain, esker = read_text(_text(path, InvalidManifest) if manifest is None else manifest, path)
    return Declaration(project=project, name=name, manifest=plain, esker=esker)


def environment_name(project: str) -> str:
    """Return the name of the environment in `project`; raises NotFound and InvalidFile as `load` does."""
    import json

    path = f"{project}/.flox/env.json"
    try:
        pointer = json.loads(_text(path, InvalidFile))
    except json.JSONDecodeError as error:
        raise InvalidFile(path, [Problem(f"not JSON: {error.msg}", line=error.lineno, hint=_EXAMPLE)]) from None
    except (ValueError, RecursionError) as error:
        raise InvalidFile(path, [Problem(f"not JSON: {error}", hint=_EXAMPLE)]) from None
    report = Report()
    if isinstance(pointer, dict):
        pointer = {key: pointer[key] for key in _Pointer.__struct_fields__ if key in pointer}
    read_pointer = read(_Pointer, pointer, report)
    if report.problems or read_pointer is None:
        raise InvalidFile(path, report.problems)
    return read_pointer.name


def _text(path: str, error: type[InvalidFile]) -> str:
    if not os.path.lexists(path):
        hint = "restore it from version control, or start again: remove .flox, then esker init"
        raise NotFound(f"`{path}` is missing", hint=hint)
    return files.read_text(path, error, limit=_LARGEST)
