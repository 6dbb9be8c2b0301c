"""The generations of an environment: what it declared and locked at a time, and the profile that was made of it.

A generation is a registration of the run link (see `store.registration`). Its profile is one store path. Another store
path holds the files that the profile was made from, laid out as in a project:

    DIGEST-NAME-generation/.flox/env.json, env/manifest.toml, env/manifest.lock, conda.lock, pylock.toml

So `load` reads an earlier declaration as it reads any other. Both paths are there as long as the generation is kept.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from esker.declare.load import environment_name, load
from esker.errors import NotFound, StoreError
from esker.formats import lockfile
from esker.formats.nix import store_path
from esker.store import roots
from esker.store.built import BuiltStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.declaration import Declaration
    from esker.settings import Settings
    from esker.store.registration import Generation
    from esker.store.store import Store

__all__ = ["MANIFEST", "declared_then", "find", "in_force", "keep", "kept_path", "live_declaration", "run_link"]

MANIFEST = "env/manifest.toml"
"""The manifest among the files of a generation, which are named by their paths below `.flox`."""


def run_link(project: str, name: str, system: str, mode: str) -> str:
    """Return the run link of an environment for a mode: its registration has the generations of the mode `dev`."""
    return f"{project}/.flox/run/{system}.{name}-{mode}"


def kept_path(store: Store, name: str, files: Mapping[str, bytes], profile: str) -> str:
    """Return the store path that holds, or would hold, what `profile` was made from."""
    return store.path(*_named(name, files, profile))


def keep(store: Store, name: str, files: Mapping[str, bytes], profile: str) -> str:
    """Keep what `profile` was made from, and return the store path; call it within `Store.using`.

    Locks hold the manifest that they were made from, so a manifest that says the same in another way, for instance with
    another comment, is the same generation. Then the text stays that was kept first.
    """

    def fill(directory: str) -> None:
        os.makedirs(f"{directory}/.flox/env")
        pointer = json.dumps({"name": name, "version": 1}, indent=2).encode() + b"\n"
        for path, content in {"env.json": pointer, **files}.items():
            with open(f"{directory}/.flox/{path}", "wb") as file:
                file.write(content)

    return store.build(*_named(name, files, profile), fill, references=[profile])


def _named(name: str, files: Mapping[str, bytes], profile: str) -> tuple[str, str]:
    locks = {path: sha256(content).hexdigest() for path, content in files.items() if path != MANIFEST}
    key = json.dumps([name, os.path.basename(profile), locks], sort_keys=True)
    return f"{store_path.fitting(name) or 'environment'}-generation", f"generation:{key}"


def find(project: str, settings: Settings, number: int) -> Generation:
    """Return a generation of the environment of `project`.

    Raises NotFound if there is no such number, and StoreError if what belongs to it has been deleted.
    """
    name, store = environment_name(project), BuiltStore(settings.store_root)
    known = roots.generations(store, run_link(project, name, settings.system, "dev"))
    generation = next((each for each in known if each.number == number), None)
    if generation is None:
        numbers = ", ".join(str(each.number) for each in known)
        hint = f"choose one that is kept: {numbers}" if known else "the first activation makes one: esker activate"
        raise NotFound(f"environment '{name}' has no generation {number}", hint=hint)
    if generation.declared is None:
        raise StoreError(
            f"generation {number} of environment '{name}' cannot be used: the Esker that made it kept no manifest",
            hint="choose a later one: esker generations list",
        )
    for path in (generation.path, generation.declared):
        if not store.is_valid(path):
            raise StoreError(
                f"generation {number} of environment '{name}' is not whole any more: `{path}` was deleted",
                hint="choose another one: esker generations list",
            )
    return generation


def declared_then(project: str, generation: Generation) -> Declaration:
    """Return the declaration of `project` as it was in a generation that `find` has returned.

    A generation belongs to the run link of a name, so its own env.json is not needed. Raises StoreError if its manifest
    is gone.
    """
    assert generation.declared is not None
    name = environment_name(project)
    try:
        return msgspec.structs.replace(load(generation.declared, name=name), project=project)
    except NotFound as error:
        raise StoreError(
            f"generation {generation.number} of environment '{name}' is not whole any more: {error.message}",
            hint="choose another one: esker generations list",
        ) from error


def in_force(declaration: Declaration, settings: Settings) -> Generation | None:
    """Return the generation that a person went back to, which counts in place of what the project's files declare.

    None if there is none, or if the manifest has changed since: then the next activation makes a new generation.
    """
    store = BuiltStore(settings.store_root)
    known = roots.generations(store, run_link(declaration.project, declaration.name, settings.system, "dev"))
    held = next((each for each in known[:-1] if each.held and each.current), None)
    if held is None or not _is_whole(store, held) or not _is_whole(store, known[-1]):
        return None
    newest = declared_then(declaration.project, known[-1])
    return None if lockfile.differences(newest.own_manifest, declaration.own_manifest) else held


def _is_whole(store: Store, generation: Generation) -> bool:
    return generation.declared is not None and all(
        store.is_valid(path) for path in (generation.path, generation.declared)
    )


def live_declaration(project: str, settings: Settings, number: int | None = None) -> Declaration:
    """Return what an activation of `project` goes by: that of generation `number`, or of the one that is live now."""
    if number is not None:
        return declared_then(project, find(project, settings, number))
    declaration = load(project)
    generation = in_force(declaration, settings)
    return declaration if generation is None else declared_then(project, generation)
