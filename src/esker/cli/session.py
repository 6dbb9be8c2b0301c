"""`esker activate -s`: a command with its environment's services, from before it begins until after it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.declare.load import load
from esker.errors import ServiceError
from esker.host.foreground import run_in_foreground
from esker.host.process import execute
from esker.services.supervised.chamber import observed, supervised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.plan import Plan
    from esker.activate.variables import Activation
    from esker.cli.voice import Voice
    from esker.services.supervised.control import Leased

__all__ = ["release_for_shell", "run_with_services", "start_for_shell"]

_SHELL = "shell"
"""The token of the one lease that a shell holds by `activate -s` in place."""


def run_with_services(
    plan: Plan,
    activation: Activation,
    environ: Mapping[str, str],
    command: tuple[list[str], Mapping[str, str]],
    voice: Voice,
) -> int:
    """Start what is declared, run a command (its arguments and variables), and return its status when all is over.

    What others use, or what was started to stay, goes on running.
    """
    argv, inside = command
    leased = _leased(plan, activation, environ, voice)
    if leased is None:
        execute(argv, inside)
    status = 1
    try:
        status = run_in_foreground(argv, inside)
    finally:
        try:
            leased.release()
        except ServiceError as error:  # somebody has ended the supervisor: the command's status still counts
            voice.say(f"! {error.message}")
    return status


def start_for_shell(plan: Plan, activation: Activation, environ: Mapping[str, str], pid: int, voice: Voice) -> None:
    """Start what is declared for as long as a shell lives, or until it leaves the environment."""
    _leased(plan, activation, environ, voice, pid=pid)


def release_for_shell(project: str, environ: Mapping[str, str], pid: int) -> None:
    """Give back what a shell has started in place; what nobody else uses has stopped on return."""
    from esker.activate.allocation import allocate
    from esker.runtimes.native.preparation import own_system

    declaration = load(project)
    observed(declaration, own_system(), allocate(declaration, environ), environ).release(pid, _SHELL)


def _leased(
    plan: Plan, activation: Activation, environ: Mapping[str, str], voice: Voice, *, pid: int | None = None
) -> Leased | None:
    from esker.cli.views.services import Live

    services = supervised(plan, load(plan.project), lambda: activation, environ)
    if not services.specs:
        voice.say(_nothing(plan))
        return None
    running = all(one.ready for one in services.status())
    with Live(voice) as live:
        leased = services.lease(changed=live.show, pid=pid, token=None if pid is None else _SHELL)
    if running:
        voice.say("! Skipped starting services, services are already running")
    return leased


def _nothing(plan: Plan) -> str:
    if plan.has_services:
        return f"! Environment does not have any services defined for '{plan.system}'."
    return "! Environment does not have any services defined."
