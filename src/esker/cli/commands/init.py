"""`esker init`."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place
from esker.declare.compose_names import BASES
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.declare.adopt import Adopted

__all__ = ["made_environment", "run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.adopt import MOST_TOLD, found_in, joined
    from esker.declare.discover import resolved
    from esker.declare.template import NOTHING

    examples = "  esker init\n  esker init -d backend -n api"
    summary = "Create an environment: a commented manifest for you to fill in."
    parser = Parser(name, summary, examples, voice=voice, stray="name the directory: esker init -d")
    add_directory(parser)
    parser.add_argument("-n", "--name", help="the environment's name (default: the directory's)")
    parser.add_argument("-b", "--bare", action="store_true", help="write a manifest of one line, and take nothing")
    parser.add_argument("--no-auto-setup", action="store_true", help="take nothing from the project's files")
    parser.add_argument("--auto-setup", action="store_true", help=SUPPRESS)
    options = parser.parse_args(arguments)
    if options.auto_setup and not voice.remarks:
        raise UsageError("`--auto-setup` is not implemented yet", hint="leave it out, then add what the project needs")
    directory = resolved(place(options)[0])
    adopts = voice.remarks and not options.bare and not options.no_auto_setup  # Flox asks before it takes anything
    adopted = joined(found_in(directory), MOST_TOLD if voice.level <= 0 else None) if adopts else NOTHING
    made_environment(directory, voice, options.name, bare=options.bare, adopted=adopted)
    _tell(adopted, voice)
    compose = next((each for each in BASES if os.path.isfile(f"{directory}/{each}")), None)
    if compose is not None and adopts and not adopted.services[0]:
        voice.say(f"✔ The services are those of {compose}: {voice.program} services start")
    if voice.remarks:  # Flox has no other runtimes
        _tell_of_tools(directory, voice)
    voice.say(f"\nNext:\n  $ {voice.program} install pypi/NAME    <- Add a Python package")
    voice.say(f"  $ {voice.program} install conda/NAME   <- Add a program or library of any language")
    voice.say(f"  $ {voice.program} edit                 <- Add variables, scripts and services")
    voice.say(f"  $ {voice.program} activate             <- Enter the environment")
    return 0


def made_environment(
    directory: str, voice: Voice, name: str | None = None, *, bare: bool = False, adopted: Adopted | None = None
) -> None:
    """Create an environment in a directory and say so."""
    from esker.declare.known_environments import remember
    from esker.declare.template import NOTHING, create
    from esker.settings import Settings

    environment = create(directory, name, bare=bare, home=os.environ.get("HOME"), adopted=adopted or NOTHING)
    settings = Settings(os.environ)
    remember(directory, settings)
    if voice.remarks:  # Flox leaves the project's own files alone
        _ignore_handles(directory, voice)
    voice.say(f"⚡︎ Created environment '{environment}' ({settings.system})")


def _tell(adopted: Adopted, voice: Voice) -> None:
    """Say what was taken from which file, what was not, and what the environment needs for it."""
    if adopted.project is not None:
        groups = adopted.project.groups
        installed = f", with its group `{groups[0]}`" if groups else ""
        voice.say(f"✔ Its Python packages are those of pyproject.toml{installed}")
    for line in adopted.taken:
        voice.say(f"✔ Taken from {line}")
    for line in adopted.left_out:
        voice.say(f"! {line}")
    if adopted.specs:
        from esker.errors import HostError
        from esker.host.rattler import require_rattler

        try:
            require_rattler()
        except HostError as error:
            voice.say(f"! {error.message}: {error.hint}")


def _tell_of_tools(directory: str, voice: Voice) -> None:
    """Say which other declaration of an environment counts no more now, and how it goes on."""
    from esker.runtimes.registry import RUNTIMES, declarations

    for name, kind in declarations().items():
        if RUNTIMES[kind].tool and not RUNTIMES[kind].is_last and os.path.exists(os.path.join(directory, name)):
            both = f'write runtime = "{kind}" into [plugins.esker]'
            voice.say(f"! The new manifest counts before {name}, which gives nothing any more: to have both, {both}")


def _ignore_handles(directory: str, voice: Voice) -> None:
    """Keep the file of a saved service handle, which is for this machine, out of the project's git repository."""
    from esker.declare.git_ignore import ignore
    from esker.formats.service_handle import NAME

    try:
        if ignore(directory, NAME):
            voice.say(f"✔ Added `{NAME}` to .gitignore")
    except OSError as error:
        voice.say(f"! Could not add `{NAME}` to .gitignore: {(error.strerror or str(error)).lower()}")
