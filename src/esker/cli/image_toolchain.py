"""Which declaration an image is made of, with `.flox` or without, and what the tool gives that it names."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.cli.selection import check_version, selected_project
from esker.declare.load import load
from esker.errors import ImageError
from esker.formats.counted import counted
from esker.runtimes import registry

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock
    from esker.settings import Settings
    from esker.ship.content.nix_environment import NixEnvironment

__all__ = ["declared_for_image", "locked", "nix_environment"]

_MEGABYTE = 1_000_000


def declared_for_image(options: Namespace, settings: Settings, voice: Voice) -> Declaration:
    """Return the declaration of the selected project; raises ImageError if its tool gives nothing for an image."""
    from esker.runtimes.foreign.preparation import declaration_of

    project = selected_project(options, os.environ)
    runtime: str
    if os.path.isdir(f"{project}/.flox"):
        declaration = load(project)
        check_version(declaration.manifest, voice)
        runtime = declaration.esker.runtime
    else:
        runtime = registry.find_project(project, explicit=True)[1]
        declaration = declaration_of(project, runtime, settings)
    if runtime not in {"native", "nix"}:
        raise ImageError(
            f"what {runtime} gives `{project}` cannot be put into an image",
            hint="declare the packages in a `.flox`: esker init, and esker install conda/NAME or pypi/NAME",
        )
    return declaration


@contextmanager
def locked(declaration: Declaration, settings: Settings) -> Iterator[Lock]:
    """Give the lock of a project, which no other process prepares meanwhile; an empty one without `.flox`.

    Raises StaleLock, and IncludeError if an included environment has another lock than when it was merged.
    """
    from esker.formats.lockfile import Lockfile
    from esker.lock.compose import check_layers
    from esker.lock.lock_files import Lock
    from esker.lock.resolve import current_lock
    from esker.runtimes.foreign import preparation
    from esker.runtimes.native import project_lock

    if declaration.state is None:
        with project_lock.alone(declaration.project):
            lock = current_lock(declaration, settings)
            check_layers(declaration)
            yield lock
    else:
        with preparation.alone(declaration):
            yield Lock(Lockfile(manifest=declaration.manifest, packages=()), None)


def nix_environment(declaration: Declaration, settings: Settings, mode: str, voice: Voice) -> NixEnvironment | None:
    """Return what Nix gives if it gives the toolchain, and say how large that is; None if it does not."""
    from esker.progress import reporting
    from esker.runtimes.foreign import preparation
    from esker.runtimes.native.preparation import toolchain_of
    from esker.runtimes.nix.image_environment import image_environment

    if declaration.esker.runtime != "nix":
        return None
    with reporting(voice.progress()) as progress:
        if declaration.state is None:
            result = toolchain_of(declaration, settings, progress)
        else:
            result = preparation.toolchain_of(declaration, settings, progress)
        assert result is not None
        environment = image_environment(declaration, result.toolchain, settings, mode)
    closure = environment.closure
    number = counted(len(closure.paths), "store path of Nix", "store paths of Nix")
    voice.say(f"  {number}, {closure.size / _MEGABYTE:.1f} MB before compression")
    return environment
