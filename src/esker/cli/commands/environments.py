"""`envs` and `delete`, and what a bare `flox` says: the environments as wholes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.activate.lists import active_environments, dot_flox_of
from esker.cli.arguments import Parser, add_directory, place
from esker.cli.voice import FLOX_VERSION, Voice
from esker.declare.discover import find
from esker.declare.known_environments import KnownEnvironment, known_environments
from esker.errors import UsageError
from esker.formats.printable import printable
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["run", "welcome"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run one of the commands."""
    return _envs(arguments, voice) if name == "envs" else _delete(arguments, voice)


def welcome(voice: Voice, usage: str) -> int:
    """Say what a command line without a command is answered."""
    print(f"{voice.program} version {FLOX_VERSION}\n\n{usage}\n")
    active = _active()
    if active:
        print("Active environments:")
        _print(_shown(active))
    elif known_environments(Settings(os.environ)):
        print(f"No active environments. Use '{voice.program} envs' to list all environments.")
    else:
        print(f"First time? Create an environment with '{voice.program} init'")
    return 0


def _envs(arguments: list[str], voice: Voice) -> int:
    summary = "Show the environments that are active, the newest first, and the others that are known."
    parser = Parser("envs", summary, "  esker envs\n  esker envs --active --json", voice=voice)
    parser.add_argument("--active", action="store_true", help="only those that are active here")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    options = parser.parse_args(arguments)
    active = _active()
    places = {dot_flox_of(element) for element in active}
    inactive = (
        []
        if options.active
        else [each for each in known_environments(Settings(os.environ)) if each.dot_flox not in places]
    )
    if options.json:
        import json

        shown: Any = active if options.active else {"active": active, "inactive": [each.record() for each in inactive]}
        print(json.dumps(shown, indent=2))
        return 0
    if not active and not inactive:
        voice.say("No active environments" if options.active else f"No environments known to {voice.title}")
    if active:
        voice.say("⚡︎ Active environments:")
        _print(_shown(active))
    if inactive:
        voice.say("Inactive environments:")
        _print(inactive)
    return 0


def _active() -> list[dict[str, Any]]:
    return active_environments(os.environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))


def _shown(active: list[dict[str, Any]]) -> list[KnownEnvironment]:
    found = []
    for element in active:
        environment = element.get("environment", element)
        pointer = environment.get("pointer", environment)
        found.append(KnownEnvironment(dot_flox_of(element) or "", str(pointer.get("name", ""))))
    return found


def _print(environments: Iterable[KnownEnvironment]) -> None:
    listed = list(environments)
    width = max(len(each.name) for each in listed)
    sys.stdout.flush()
    for each in listed:  # a path may hold any bytes
        sys.stdout.buffer.write(os.fsencode(Voice.shown(f"  {each.name:<{width}}  {each.project}") + "\n"))
    sys.stdout.flush()


def _delete(arguments: list[str], voice: Voice) -> int:
    from esker.declare.load import environment_name
    from esker.runtimes.native.change import delete

    examples = "  esker delete\n  esker delete -f -d ../old"
    parser = Parser("delete", "Delete an environment: its manifest, lock, caches and links.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    start, explicit = place(options)
    project = find(start, explicit=explicit)
    name = environment_name(project)
    if not options.force and not _confirmed(f"Delete the environment '{name}' of {project}? [y/N] "):
        raise UsageError(f"the environment '{name}' was not deleted", hint="say yes, or give --force")
    delete(project)
    voice.say(f"━ environment '{name}' deleted")
    return 0


def _confirmed(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(printable(question), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
