"""`esker activate -s`: start the environment's services before a command, and release them after it.

A supervisor starts while this imports what it needs: so at its top this module imports nothing heavy.
"""

from __future__ import annotations

import os

from esker.runtimes import registry
from esker.services.supervised.ahead import ahead
from esker.services.supervised.site import known_site
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.active import Begun
    from esker.cli.voice import Voice
    from esker.runtimes.protocol import Runtime
    from esker.services.chamber import Leased

__all__ = ["release_for_shell", "run_with_services", "start_services"]

_SHELL = "shell"
"""The token of the lease that a shell holds after `eval "$(esker activate -s)"`; it has only one."""


def start_services(
    runtime: Runtime, begun: Begun, environ: Mapping[str, str], voice: Voice, *, shell: int | None = None
) -> Leased | None:
    """Lease the declared services for this process, or for the shell with pid `shell`; None if none are declared.

    Services that run already are shared with their other users. `begun` is the activation, which the caller ends.
    """
    with ahead(known_site(runtime.project, Settings(environ).xdg_runtime_dir)):
        return _leased(runtime, begun, environ, voice, shell)


def _leased(
    runtime: Runtime, begun: Begun, environ: Mapping[str, str], voice: Voice, shell: int | None
) -> Leased | None:
    from esker.activate.active import nothing
    from esker.activate.lists import ACTIVE_ENVIRONMENTS
    from esker.cli.views.outdated_services import say_outdated
    from esker.cli.views.services import Live
    from esker.environment import chamber
    from esker.errors import NoEngine

    inside = begun.activation.apply(environ).get(ACTIVE_ENVIRONMENTS, "")
    environ = {**environ, ACTIVE_ENVIRONMENTS: inside}  # the services go by what was chosen for the activation
    services = chamber(runtime, environ, lambda *_: begun._replace(end=nothing))
    services.like_flox = voice.services_like_flox
    if not services.names and not services.unreadable:
        voice.say(_no_services(runtime.project))
        return None
    for text in services.remarks:
        voice.remark(f"! {text}")
    # Flox starts nothing if anything runs. Esker starts what does not run yet.
    runs = any if services.like_flox else all
    running = runs(status.has_started for status in services.status())
    try:
        with Live(voice) as live:
            leased = services.lease(changed=live.show, pid=shell, token=None if shell is None else _SHELL)
    except NoEngine as error:
        hint = f"{error.hint}; to activate without services: --no-start-services"
        raise NoEngine(error.message, hint=hint) from error
    if running:
        voice.say("! Skipped starting services, services are already running")
    say_outdated(leased.statuses, services.names, voice)
    return leased


def run_with_services(command: tuple[list[str], Mapping[str, str]], leased: Leased | None, voice: Voice) -> int:
    """Run a command (arguments and variables), release its services, and return its status: negative for a signal."""
    from esker.errors import EskerError
    from esker.host.foreground import run_in_foreground

    try:
        return run_in_foreground(*command)
    finally:
        if leased is not None:
            try:
                leased.release()
            except EskerError as error:  # the supervisor was killed, or is silent: still return the command's status
                voice.say(f"! {error.message}")


def release_for_shell(project: str, environ: Mapping[str, str], pid: int) -> None:
    """Release the services that a shell leased in place; those that nobody else uses have stopped on return."""
    from esker.environment import chamber
    from esker.errors import InvalidFile, NotTrusted, ServiceError

    project, name = registry.find_project(project, explicit=True)
    runtime = registry.runtime(name, project)
    try:
        services = chamber(runtime, environ, runtime.begin)
    except (InvalidFile, NotTrusted, ServiceError):  # what has changed since says nothing of what runs
        from esker.services.supervised.chamber import running

        services = running(project, Settings(environ))
    services.release(pid, _SHELL)


def _no_services(project: str) -> str:
    """Return the notice for a project that declares no services, or none for this system."""
    from esker.declare.load import load
    from esker.host.variables import current

    services = load(project).manifest.services if os.path.isdir(f"{project}/.flox") else None
    if services and services.services:
        return f"! Environment does not have any services defined for '{Settings(current()).system}'."
    return "! Environment does not have any services defined."
