"""Reads a project directory into its declaration, and reports all problems of a file at once."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import msgspec

from esker.declare import notations
from esker.declare.declaration import Declaration, EskerTable
from esker.declare.discover import no_environment
from esker.declare.layers import lock_of, with_layers
from esker.declare.validate import esker_table, read_text
from esker.errors import HostError, InvalidFile, InvalidLock, InvalidManifest, NotFound, Problem
from esker.formats import json_text, lockfile
from esker.formats.manifest import Manifest, document, from_table
from esker.formats.manifest_schema import PLUGINS_SINCE
from esker.formats.references import variable_cycle
from esker.formats.tables.reader import Parsed, Report, read
from esker.formats.untrusted import LARGEST_MANIFEST, json_value
from esker.host import files

__all__ = ["environment_name", "load", "manifest_path", "manifest_text", "read_manifest"]

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


def load(project: str, manifest: str | None = None, *, alone: bool = False, name: str | None = None) -> Declaration:
    """Return the declaration of `project`; if `manifest` is given, it is read in place of the manifest's own text.

    With a `name`, which is the environment's, env.json is not read.

    If the manifest includes other environments and the lock is current, the declaration is the merge, which the lock
    holds; `alone` it is what the project's own manifest says. Raises NotFound if there is no environment or one of its
    files is missing, InvalidFile with every problem of env.json, InvalidManifest with every problem of the manifest and
    of `[plugins.esker]` in it, and InvalidLock with those of the lock of a composed environment.
    """
    project = os.path.realpath(project)
    if not os.path.isdir(f"{project}/.flox"):
        raise no_environment(project)
    name = environment_name(project) if name is None else name
    plain, esker = read_manifest(manifest_text(project) if manifest is None else manifest, manifest_path(project))
    own = Declaration(project=project, name=name, manifest=plain, esker=esker)
    return own if alone else _merged(own) or own


def manifest_text(project: str) -> str:
    """Return the text of the manifest of `project`; raises NotFound if it is missing, and InvalidManifest."""
    return _text(manifest_path(project), InvalidManifest)


def manifest_path(project: str) -> str:
    """Return the path of the manifest of `project`."""
    return f"{project}/.flox/env/manifest.toml"


def read_manifest(text: str, path: str) -> tuple[Manifest, EskerTable]:
    """Read the text of the manifest at `path`, as `read_text` does.

    A rule that the manifest breaks does not count if the lock has the same manifest: the Flox that locked it had no
    such rule, and nobody should lose a working environment to a later one. Rules of Esker's own table always count.
    """
    try:
        return read_text(text, path)
    except InvalidManifest:
        values, _ = document(text, path)
        report, esker_report = Report(mend=""), Report()
        manifest = from_table(values, report)
        esker = esker_table(manifest, values, esker_report)
        if report.problems or esker_report.problems or not _is_locked(manifest, path.removesuffix(".toml") + ".lock"):
            raise
        return manifest, esker


def _is_locked(manifest: Manifest, path: str) -> bool:
    """Return whether the lock at `path` was made from a manifest, and can be used."""
    try:
        lock = lockfile.parse(files.read(path), path)
    except (HostError, InvalidLock):
        return False
    return not (lockfile.differences(lock.own_manifest(), manifest) or variable_cycle(manifest.vars))


def _merged(declaration: Declaration) -> Declaration | None:
    """Return what the lock has merged of a composed environment; None for any other, or if the lock is not current."""
    own = declaration.manifest
    path = lock_of(declaration.project)
    if own.include is None or not own.include.environments or not os.path.exists(path):
        return None
    lock = lockfile.parse(files.read(path), path)
    if lock.compose is None or lockfile.differences(lock.compose.composer, own):
        return None
    return with_layers(declaration, lock.manifest, lock.compose, path)


def environment_name(project: str) -> str:
    """Return the name of the environment in `project`; raises NotFound and InvalidFile as `load` does."""
    import json

    if not os.path.isdir(f"{project}/.flox"):
        raise no_environment(project)
    path = f"{project}/.flox/env.json"
    try:
        pointer = json_value(_text(path, InvalidFile))
    except json.JSONDecodeError as error:
        raise InvalidFile(path, [Problem(f"not JSON: {error.msg}", line=error.lineno, hint=_EXAMPLE)]) from None
    except ValueError as error:
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
        hint, directory = f"restore it from version control, or write it anew: {_anew(path)}", os.path.dirname(path)
        if os.path.lexists(f"{directory}.tmp"):  # the only copy, of a change that was cut off
            quoted = shlex.quote(directory)
            hint = f"a change was cut off; put back what was there before: mv {quoted}.tmp {quoted}"
        raise NotFound(f"`{path}` is missing", hint=hint)
    return files.read_text(path, error, limit=LARGEST_MANIFEST)


def _anew(path: str) -> str:
    """Return the shell command that writes a file of an environment which has been lost; the others stay."""
    name = os.path.basename(os.path.dirname(os.path.dirname(path))) or "environment"
    text = (
        json_text.render({"name": name, "version": 1})
        if path.endswith(".json")
        else f'schema-version = "{PLUGINS_SINCE}"'
    )
    return f"echo {shlex.quote(text)} >{shlex.quote(path)}"
