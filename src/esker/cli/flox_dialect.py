"""The texts that Flox words differently from Esker, printed by the `flox` of `esker shim`.

Programs that call Flox read them, so they are Flox's to the letter. Each is made from an error's class and fields, or
from what Esker would print. This module is imported only when such a text is printed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from esker.errors import (
    EskerError,
    HookCutOff,
    IncludedPackage,
    IncludeError,
    InvalidManifest,
    ModeClash,
    NoEnvironment,
    StaleInclude,
    StartWithinHook,
    UnknownService,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.services.status import ServiceStatus

__all__ = ["INTERRUPTED", "auto_activation", "service_cells", "service_states", "welcome", "words"]

_NOT_STARTED = "Disabled"
"""The state of a service that waits for others, or that was not started although others were."""

INTERRUPTED = "user interrupted process"

_ABOUT_THE_SCHEMA = (
    "manifest 'schema-version'",
    "manifest had invalid schema",
    "'version' field",
    "'schema-version' f",
)
_UNRECOGNISED = "unrecognized arguments: "
"""How argparse begins its message about words that no command and no option takes; Flox names the first of them."""
_START_WITHIN_HOOK = """\
Cannot start services from 'hook.on-activate'.

Starting services from the activation hook would cause a deadlock.
Activate the environment with 'flox activate --start-services' instead."""


def words(error: EskerError) -> str:
    """Return Flox's text for an error: the error's own message, unless Flox words it differently."""
    match error:
        case InvalidManifest():
            text = _invalid_manifest([problem.message for problem in error.problems])
        case NoEnvironment(directory=None):
            text = f"{error.message}\n\nCreate an environment with 'flox init'"
        case NoEnvironment(directory=directory):
            create = f"Create an environment with 'flox init --dir {directory}'"
            text = f"Did not find an environment in '{directory}'\n\n{create}"
        case HookCutOff(ending=None):
            text = f"{error.message}.\n\n{error.hint}"
        case HookCutOff():
            text = "Running hook.on-activate failed"
        case ModeClash() | IncludeError():
            text = _with_remedy(error)
        case UnknownService():
            text = f"Service '{error.service}' does not exist."
        case UsageError(message=message) if message.startswith(_UNRECOGNISED):
            text = f"`{message.removeprefix(_UNRECOGNISED).split()[0]}` is not expected in this context"
        case StartWithinHook(hook="hook.on-activate"):
            text = _START_WITHIN_HOOK
        case _:
            text = error.message
    return text


def _with_remedy(error: ModeClash | IncludeError) -> str:
    match error:
        case ModeClash():
            return f"{error.message}\n\n{error.hint}"
        case StaleInclude(unlocked=str() as directory):
            return f"{error.message}\n\nTo resolve this issue run 'flox edit -d {directory}' and retry"
        case IncludedPackage(environment=environment):
            remedy = f"Remove the package from environment '{environment}' and then run 'flox include upgrade'"
            return f"{error.message}\n{remedy}"
        case _:
            return error.message


def _invalid_manifest(problems: list[str]) -> str:
    """Return all problems below Flox's heading; a single problem with the schema stands beside it."""
    head = "Failed to parse manifest:"
    if len(problems) == 1 and problems[0].startswith(_ABOUT_THE_SCHEMA):
        return f"{head} {problems[0]}"
    return "\n\n".join([head, *problems])


def service_cells(cells: list[str]) -> list[str]:
    """Return the three cells of Flox's table of services; without a process the pid is empty."""
    name, status, pid = cells[:3]
    if status == _NOT_STARTED:
        return [name, f"{status} (0)", "[0]"]
    return [name, status, "" if pid == "-" else pid]


def service_states(statuses: Sequence[ServiceStatus]) -> list[ServiceStatus]:
    """Return the states of all services with Flox's words for those that do not run, if any service was started.

    A service that was stopped has completed, and one that was not started or waits for others is disabled.
    """
    was_started = any(status.log for status in statuses)
    return [_flox_state(status) if was_started else status for status in statuses]


def _flox_state(status: ServiceStatus) -> ServiceStatus:
    if status.status == "Pending" or (status.status == "Stopped" and not status.log):
        return replace(status, status=_NOT_STARTED, exit_code=0)
    return replace(status, status="Completed") if status.status == "Stopped" else status


def auto_activation(word: str, name: str) -> str:
    """Return what `activate allow` and `activate deny` print about the environment of this name."""
    return f"✔ Auto-activation {'allowed' if word == 'allow' else 'denied'} for {name}."


def welcome(usage: str, version: str) -> None:
    """Print what a bare `flox` prints: its version, its help (`usage`), and what is active or what to do next."""
    from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments
    from esker.cli.views.environments import print_active
    from esker.declare.known_environments import known_environments
    from esker.settings import Settings

    print(f"flox version {version}\n\n{usage}\n")
    active = active_environments(os.environ.get(ACTIVE_ENVIRONMENTS))
    if active:
        print("Active environments:")
        print_active(active)
    elif known_environments(Settings(os.environ)):
        print("No active environments. Use 'flox envs' to list all environments.")
    else:
        print("First time? Create an environment with 'flox init'")
