"""`esker services`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, group_usage, seconds, unknown_command
from esker.cli.confirmation import confirmed
from esker.cli.directory import OF_TOOLS, RUNTIME, SERVICES_FROM
from esker.cli.selection import check_version, selected_project
from esker.cli.views.outdated_services import say_outdated
from esker.cli.views.output import print_json, shown
from esker.cli.views.services import Live, as_record, reason, state_record, table
from esker.cli.voice import ESKER
from esker.errors import InvalidFile, ServiceError, ServicesNotReady, UsageError
from esker.lock.compose import composed_if_possible
from esker.runtimes import registry
from esker.services.compose.container import read_started
from esker.services.supervised.chamber import running
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.services.chamber import Chamber
    from esker.services.status import ServiceStatus

__all__ = ["ALIASES", "COMMANDS", "run"]

COMMANDS = {
    "start": "start services, and return when they are ready; `stop` ends them",
    "stop": "stop services, even if other processes use them",
    "restart": "stop services and start them with up-to-date variables",
    "status": "show the services and their states",
    "logs": "show the output of services",
    "wait": "wait until services are healthy, completed or stopped",
    "add": "add a well-known service to the manifest: postgres, valkey, …",
    "urls": "show where each service is: host, port, socket, URL",
    "ports": "show the ports of this checkout, or choose new ones",
    "reset": "remove a container with its volumes, and start it anew",
}
ALIASES = {"r": "restart", "l": "logs"}
_FOR_PROGRAMS = {"hold": "start services for a process", "release": "release the services that a process holds"}
_ELSEWHERE = {
    "up": "services start",
    "down": "services stop",
    "kill": "services stop",
    "rm": "services stop",
    "ps": "services status",
    "ls": "services status",
    "list": "services status",
    "attach": "services logs --follow",
    "exec": "activate -- COMMAND",
    "run": "activate -s -- COMMAND",
}
_START_SECONDS = 60.0
_LINES = 15
_STATES = ("healthy", "completed", "stopped")


def run(name: str, arguments: list[str], voice: Voice = ESKER) -> int:
    """Run `services COMMAND`."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(group_usage(f"{voice.program} {name}", COMMANDS))
        return 0
    command, rest = ALIASES.get(arguments[0], arguments[0]), arguments[1:]
    if command not in COMMANDS | _FOR_PROGRAMS:
        raise unknown_command(command, COMMANDS, of=f"{voice.program} {name}", elsewhere=_ELSEWHERE)
    do = {
        "start": _start,
        "stop": _stop,
        "restart": _restart,
        "status": _status,
        "logs": _logs,
        "wait": _wait,
        "add": _add,
        "urls": _urls,
        "ports": _ports,
        "hold": _hold,
        "release": _release,
        "reset": _reset,
    }[command]
    return do(rest, voice)


def _start(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services start\n  esker services start postgres --timeout 20"
    parser = _parser("start", "Start services and return when they are ready.", examples, voice, activates=True)
    _add_timeout(parser, _START_SECONDS)
    changed = "restart the services that run by an earlier definition than the manifest's"
    parser.add_argument("--recreate", action="store_true", help=changed)
    copied = "first copy the services' data of another checkout of this project, in which no services run"
    parser.add_argument("--data-from", metavar="DIR", help=copied)
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    if options.data_from is not None:
        _copy_data(options, voice)
    _say_remarks(services, voice)
    before = {status.name: status for status in services.status() if status.has_started}
    try:
        with Live(voice, as_json=options.json) as live:
            statuses = services.start(
                *options.name, seconds=options.timeout, changed=live.show, recreate=options.recreate
            )
    except (ServiceError, ServicesNotReady):
        say_outdated(services.status(), services.names, voice)
        raise
    named = options.name or [status.name for status in statuses]
    for status in statuses:
        earlier = before.get(status.name)
        if earlier is None:
            voice.say(f"✔ Service '{status.name}' started.")
        elif status.started_at != earlier.started_at:
            voice.say(f"✔ Service '{status.name}' {'started' if earlier.pid is None else 'restarted'}.")
        elif status.name in named:
            condition = "is already running" if status.pid is not None else "has completed already"
            voice.say(f"! Service '{status.name}' {condition}.")
    say_outdated(statuses, services.names, voice)
    _say_notes([status for status in statuses if status.name not in before], voice)
    return _print_states(statuses, options)


def _copy_data(options: Namespace, voice: Voice) -> None:
    from esker.services.supervised.sibling_data import copy_data

    project, settings = selected_project(options, os.environ), Settings(os.environ)
    names = copy_data(project, options.data_from, settings, os.environ)
    voice.say(f"✔ Copied the data of `{options.data_from}`: {', '.join(names)}")


def _restart(arguments: list[str], voice: Voice) -> int:
    summary = "Stop services and start them with up-to-date variables."
    parser = _parser("restart", summary, "  esker services restart api", voice, activates=True)
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    _say_remarks(services, voice)
    with Live(voice, as_json=options.json) as live:
        if not options.name:
            undeclared = [status.name for status in services.status() if status.name not in services.names]
            if undeclared:  # the manifest no longer declares them, but they still run
                services.stop(*undeclared)
        outcomes = services.restart(*options.name, seconds=options.timeout, changed=live.show)
    for name, outcome in sorted(outcomes.items()):
        voice.say(f"✔ Service '{name}' {outcome}.")
    return _print_states(services.status(*outcomes), options)


def _stop(arguments: list[str], voice: Voice) -> int:
    parser = _parser(
        "stop",
        "Stop services, even if other processes use them.",
        "  esker services stop\n  esker services stop api",
        voice,
    )
    force = "stop containers too that were running before Esker used them"
    parser.add_argument("--force", action="store_true", help=force)
    options = parser.parse_args(arguments)
    services = _present(options, voice)
    result = services.stop(*options.name, force=options.force)
    for name in result.stopped:
        voice.say(f"✔ Service '{name}' stopped")
    for name in result.left:
        voice.say(f"! Service '{name}' runs on: its container ran before Esker used it (--force stops it too)")
    idle = () if options.name or result.stopped or result.left else services.names
    for name in (*result.not_running, *idle):
        voice.say(f"! Service '{name}' is not running")
    for user in result.users:
        voice.remark(f"! '{user.service}' was in use by `{user.program}` (pid {user.pid})")
    if options.json:
        print_json(
            {
                "stopped": result.stopped,
                "left": result.left,
                "not_running": [*result.not_running, *idle],
                "users": [as_record(user) for user in result.users],
            }
        )
    return 0


def _status(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services status\n  esker services status --json\n  esker services status --watch"
    parser = _parser("status", "Show the services and their states.", examples, voice)
    parser.add_argument("--watch", action="store_true", help="keep showing them as they change")
    options = parser.parse_args(arguments)
    services = _present(options, voice)
    if options.watch:
        return _watch(services, options, voice)
    named = services.status(*options.name)
    states = {status.name: status for status in voice.service_states(services.status() if options.name else named)}
    statuses = [states[status.name] for status in named]
    if options.json:
        return _print_states(statuses, options)
    print(table(statuses, voice), end=voice.end_of_table)
    for status in statuses:
        if text := reason(status):
            voice.remark(f"! {status.name}: {text}")
    if services.names:
        say_outdated(statuses, services.names, voice)
    _say_notes(statuses, voice)
    return 0


def _say_remarks(services: Chamber, voice: Voice) -> None:
    for text in services.remarks:
        voice.remark(f"! {text}")


def _say_notes(statuses: Iterable[ServiceStatus], voice: Voice) -> None:
    """Print each note once, with how many services have it."""
    notes = [status.note for status in statuses if status.note]
    for note in dict.fromkeys(notes):
        others = notes.count(note) - 1
        voice.remark(f"! {note}" + (f" (the same for {others} more)" if others else ""))


def _watch(services: Chamber, options: Namespace, voice: Voice) -> int:
    with Live(voice, as_json=options.json, always=True) as live:
        for status in services.status():
            live.show(status)
        for status in services.changes():
            if not options.name or status.name in options.name:
                live.show(status)
    return 0


def _logs(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services logs api\n  esker services logs -n 50 api\n  esker services logs --follow"
    which = "one service; with --follow any number of them (default: all)"
    parser = _parser("logs", "Show the output of services.", examples, voice, names=which)
    parser.add_argument("-f", "--follow", action="store_true", help="keep showing new lines as they appear")
    parser.add_argument(
        "-n",
        "--tail",
        type=int,
        default=_LINES,
        metavar="N",
        help=f"show the last N lines (default: {_LINES})",
    )
    options = parser.parse_args(arguments)
    services = _present(options, voice)
    if not options.follow:
        if len(options.name) != 1:
            message = "A single service name is required when the --follow flag is not specified"
            raise UsageError(message, hint=f"name one service, or follow several: {parser.prog} --follow")
        lines = services.logs(options.name[0], options.tail)
        if options.json:
            print_json([{"service": options.name[0], "line": line} for line in lines])
        else:
            sys.stdout.write(shown("".join(f"{line}\n" for line in lines), colours=True))
        return 0
    names = options.name or services.names
    width = max(map(len, names), default=0)
    for name, line in services.follow(*names, count=options.tail):
        print(shown(f"{name:<{width}}: {line}", colours=True), flush=True)
    return 0


def _wait(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services wait postgres\n  esker services wait --for completed migrate --timeout 30"
    parser = _parser("wait", "Wait until services are healthy, completed or stopped.", examples, voice)
    awaited = f"the state to wait for (default: {_STATES[0]})"
    parser.add_argument("--for", dest="until", choices=_STATES, default=_STATES[0], help=awaited)
    _add_timeout(parser, None)
    options = parser.parse_args(arguments)
    statuses = _services(options, voice).wait(*options.name, until=options.until, seconds=options.timeout)
    return _print_states(statuses, options)


def _hold(arguments: list[str], voice: Voice) -> int:
    summary = "Start services, and keep them until a process ends or `release`."
    parser = _parser("hold", summary, "", voice, activates=True)
    _add_holder(parser)
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    how = {"seconds": options.timeout, "pid": options.pid, "token": options.token}
    try:
        return _print_states(_services(options, voice).lease(*options.name, **how).statuses, options)
    except (ServiceError, ServicesNotReady) as error:
        if not options.json:
            raise
        print_json(error.record())
        return error.exit_status


def _release(arguments: list[str], voice: Voice) -> int:
    parser = _parser("release", "Release the services that `hold` started for a process.", "", voice)
    _add_holder(parser)
    options = parser.parse_args(arguments)
    _services(options, voice).release(options.pid, options.token)
    return 0


def _reset(arguments: list[str], voice: Voice) -> int:
    parser = _parser(
        "reset",
        "Remove a container with its volumes, start it anew, and run what fills it again.",
        "  esker services reset db\n  esker services reset db --yes",
        voice,
        names="one service that runs in a container",
        activates=True,
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    if len(options.name) != 1:
        raise UsageError("name one service to reset", hint=f"for example: {parser.prog} db")
    name, services = options.name[0], _services(options, voice)
    kept = services.volumes(name)
    gone = ", ".join(f"`{volume}`" for volume in kept.removed) or "none"
    stays = f"; external, and kept: {', '.join(f'`{each}`' for each in kept.external)}" if kept.external else ""
    if not options.yes and not confirmed(f"Remove the container of `{name}` and its volumes ({gone}{stays})?"):
        raise UsageError(f"service `{name}` was not reset", hint="answer yes, or use --yes")
    with Live(voice, as_json=options.json) as live:
        statuses = services.reset(name, seconds=options.timeout, changed=live.show)
    for volume in kept.external:
        voice.say(f"! The volume `{volume}` is external, so it was left as it is")
    voice.say(f"✔ Service '{name}' was reset.")
    return _print_states(statuses, options)


def _add_holder(parser: Parser) -> None:
    parser.add_argument("--pid", type=int, required=True, help="the process that holds the services")
    parser.add_argument("--token", required=True, help="any text; `release` with this pid and token ends the hold")


def _add(arguments: list[str], voice: Voice) -> int:
    from esker.cli.commands.services_add import add

    return add(arguments, voice)


def _urls(arguments: list[str], voice: Voice) -> int:
    from esker.cli.commands.services_urls import urls

    return urls(arguments, voice)


def _ports(arguments: list[str], voice: Voice) -> int:
    from esker.cli.commands.services_ports import ports

    return ports(arguments, voice)


def _parser(
    command: str,
    summary: str,
    examples: str,
    voice: Voice,
    *,
    names: str = "services (default: all)",
    activates: bool = False,
) -> Parser:
    """Return a parser with the options of every such command, and of one that may begin an activation."""
    parser = Parser(f"services {command}", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_options([SERVICES_FROM, RUNTIME, *(OF_TOOLS if activates else ())])
    parser.set_defaults(activates=activates)
    parser.add_argument("name", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _add_timeout(parser: Parser, default: float | None) -> None:
    limit = f"{default:g} seconds" if default is not None else "no limit"
    help_text = f"give up after this time: seconds, or with a unit as in 90s or 1m30s (default: {limit})"
    parser.add_argument("--timeout", type=seconds, default=default, metavar="TIME", help=help_text)


def _chosen(options: Namespace) -> None:
    """Have this process, and what it starts, take a service that is declared both ways from where the user says."""
    if options.services_from:
        os.environ["ESKER_SERVICES_FROM"] = options.services_from


def _present(options: Namespace, voice: Voice) -> Chamber:
    """Return the services, to look at or to stop; if the declaration cannot be used by now, those that run."""
    try:
        return _services(options, voice)
    except (InvalidFile, ServiceError) as error:
        project = selected_project(options, os.environ)
        dot_flox = f"{project}/.flox"
        if not (services_are_running(dot_flox) or read_started(dot_flox)):
            raise
        what = "the manifest has a mistake by now:\n" if isinstance(error, InvalidFile) else ""
        voice.remark(f"! these are the services that run; {what}{error.message}")
        return running(project, Settings(os.environ))


def _services(options: Namespace, voice: Voice) -> Chamber:
    """Return the services of the selected environment; raises ServiceError if it declares none for this system."""
    from esker.environment import Environment

    _chosen(options)
    project = selected_project(options, os.environ)
    kind = registry.find_project(project, explicit=True, runtime=options.runtime)[1]
    runtime = registry.runtime(kind, project)
    if options.activates:
        from esker.cli.other_runtime import asked

        runtime.ask(asked(options), refresh=options.refresh)
    environment, has_manifest = Environment(project, runtime=runtime), kind == "native"
    if has_manifest:
        settings = Settings(os.environ)
        declaration, problem = composed_if_possible(_live(environment.project), settings)
        check_version(declaration.manifest, voice)
        try:
            if not _has_containers(declaration, voice):
                _require_services(declaration, settings.system, options.name)
        except ServiceError:
            if problem is not None:
                raise problem from None
            raise
    services = environment.services
    if not services.names and not has_manifest:
        hint = "declare them in a Compose file, or in a manifest: esker init"
        hint += " (beside a flake or a manifest.scm, with `runtime` in [plugins.esker])"
        raise ServiceError("Environment does not have any services defined.", hint=hint)
    services.like_flox = voice.services_like_flox
    return services


def _has_containers(declaration: Declaration, voice: Voice) -> bool:
    """Return whether services come from Compose files; Flox takes none from a file that only lies there."""
    from esker.activate.compose.files import compose_files

    if voice.services_like_flox and declaration.esker.compose is None:
        return False
    return declaration.uses_compose and bool(compose_files(declaration, os.environ))


def _live(project: str) -> Declaration:
    from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation
    from esker.declare.generations import live_declaration

    generation = active_generation(f"{project}/.flox", os.environ.get(ACTIVE_ENVIRONMENTS))
    return live_declaration(project, Settings(os.environ), generation)


def _require_services(declaration: Declaration, system: str, names: Iterable[str]) -> None:
    services = declaration.manifest.services
    if services is None or not services.services:
        hint = "declare one in [services]"
        raise ServiceError("Environment does not have any services defined.", hint=hint)
    if not declaration.services_for(system):
        hint = f"add `{system}` to the `systems` of a service"
        raise ServiceError(f"Environment does not have any services defined for '{system}'.", hint=hint)
    for name in names:
        if name in services.services and name not in declaration.services_for(system):
            hint = f"add `{system}` to its `systems`"
            raise ServiceError(f"Service '{name}' is not available on '{system}'.", hint=hint)


def _print_states(statuses: Iterable[ServiceStatus], options: Namespace) -> int:
    if options.json:
        print_json([state_record(status) for status in statuses])
    return 0
