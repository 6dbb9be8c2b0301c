"""`esker activate -s`: a command with its environment's services, from before it begins until after it has ended."""

from typing import TYPE_CHECKING

from esker.declare.load import load
from esker.errors import ServiceError
from esker.host.foreground import run_in_foreground
from esker.host.process import execute
from esker.services.chamber import supervised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.plan import Plan
    from esker.activate.variables import Activation
    from esker.cli.voice import Voice
    from esker.services.control import Services

__all__ = ["run_with_services"]


def run_with_services(
    plan: "Plan",
    activation: "Activation",
    environ: "Mapping[str, str]",
    command: "tuple[list[str], Mapping[str, str]]",
    voice: "Voice",
) -> int:
    """Start what is declared, run a command (its arguments and variables), and return its status when all is over.

    What others use, or what was started to stay, goes on running.
    """
    argv, inside = command
    services = supervised(plan, load(plan.project), lambda: activation, environ)
    if not services.specs:
        voice.say(_nothing(plan))
        execute(argv, inside)
    from esker.cli.services import Live

    running = already_running(services)
    with Live(voice) as live:
        leased = services.lease(changed=live.show)
    if running:
        voice.say("! Skipped starting services, services are already running")
    status = 1
    try:
        status = run_in_foreground(argv, inside)
    finally:
        try:
            leased.release()
        except ServiceError as error:  # somebody has ended the supervisor: the command's status still counts
            voice.say(f"! {error.message}")
    return status


def already_running(services: "Services") -> bool:
    """Whether every service runs, or has completed."""
    return all(one.ready for one in services.status())


def _nothing(plan: "Plan") -> str:
    if plan.has_services:
        return f"! Environment does not have any services defined for '{plan.system}'."
    return "! Environment does not have any services defined."
