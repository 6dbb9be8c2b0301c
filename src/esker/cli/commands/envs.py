"""`esker envs`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments, dot_flox_of
from esker.cli.arguments import Parser
from esker.cli.views.environments import print_active, print_environments
from esker.cli.views.output import print_json
from esker.declare.known_environments import known_environments
from esker.settings import Settings

if TYPE_CHECKING:
    from typing import Any

    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    summary = "List the active environments, the newest first, and the others that are known."
    parser = Parser(name, summary, "  esker envs\n  esker envs --active --json", voice=voice)
    parser.add_argument("--active", action="store_true", help="only the active ones")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    options = parser.parse_args(arguments)
    active = active_environments(os.environ.get(ACTIVE_ENVIRONMENTS))
    active_paths = {dot_flox_of(element) for element in active}
    inactive = (
        []
        if options.active
        else [each for each in known_environments(Settings(os.environ)) if each.dot_flox not in active_paths]
    )
    if options.json:
        shown: Any = active if options.active else {"active": active, "inactive": [each.record() for each in inactive]}
        print_json(shown)
        return 0
    if not active and not inactive:
        voice.say("No active environments" if options.active else f"No environments known to {voice.title}")
    if active:
        voice.say("⚡︎ Active environments:")
        print_active(active)
    if inactive:
        voice.say("Inactive environments:")
        print_environments(inactive)
    return 0
