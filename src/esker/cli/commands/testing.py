"""`esker testing`: what the pytest plugin calls, once in a run of pytest. `docs/reference/testing.md` describes it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.cli.plugin_session import VERSION, serve
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    parser = Parser(name, "Serve the tests of one process: requests and replies are lines of JSON.", voice=voice)
    parser.add_argument(
        "--protocol", type=int, required=True, help="the version of the protocol that the caller speaks"
    )
    parser.add_argument(
        "--pid", type=int, required=True, help="the process that runs the tests, and holds the services"
    )
    options = parser.parse_args(arguments)
    if options.protocol != VERSION:
        raise UsageError(
            f"the tests speak version {options.protocol} of the protocol, this Esker version {VERSION}",
            hint="use the Esker that has locked the project, or lock the project with this one",
        )
    sys.stdout.flush()
    with open(os.dup(1), "wb", buffering=0) as replies:
        os.dup2(2, 1)  # whatever a hook prints is no reply
        serve(0, replies, options.pid)
    return 0
