"""`esker services`.

A supervisor starts while this command imports what it needs: so at its top this module imports nothing heavy.
"""

from __future__ import annotations

import os
import sys

from esker.cli.arguments import Parser, add_directory, run_group, seconds
from esker.cli.confirmation import confirmed
from esker.cli.directory import OF_TOOLS, RUNTIME, SERVICES_FROM
from esker.cli.selection import chosen_project, note_project, selected_project
from esker.cli.views.output import print_json, shown
from esker.cli.views.service_notes import say_killed, say_notes, say_unknown
from esker.errors import NoEngine, ServiceError, ServicesNotReady, UsageError
from esker.runtimes import registry
from esker.services.status import UNKNOWN
from esker.services.supervised.ahead import ahead
from esker.services.supervised.site import known_site
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.services.chamber import Chamber
    from esker.services.status import Killed, ServiceStatus
    from esker.services.supervised.site import Site

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
_OF_TOOLS = ("shell", "override_input", "refresh", "impure")


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `services COMMAND`."""
    functions = {
        "start": _start,
        "stop": _stop,
        "restart": _restart,
        "status": _status,
        "logs": _logs,
        "wait": _wait,
        "add": _add,
        "urls": _urls,
        "ports": _ports,
        "reset": _reset,
        "hold": _hold,  # this one and the next are for programs
        "release": _release,
    }
    functions |= {alias: functions[word] for alias, word in ALIASES.items()}
    return run_group(name, arguments, voice, COMMANDS, functions, elsewhere=_ELSEWHERE)


def _start(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services start\n  esker services start postgres --timeout 20"
    parser = _parser("start", "Start services and return when they are ready.", examples, voice, activates=True)
    _add_timeout(parser, _START_SECONDS)
    changed = "restart the services that run by an earlier definition than the manifest's"
    parser.add_argument("--recreate", action="store_true", help=changed)
    copied = "first copy the services' data of another checkout of this project, in which no services run"
    parser.add_argument("--data-from", metavar="DIR", help=copied)
    options = parser.parse_args(arguments)
    project = chosen_project(options, os.environ)
    if options.data_from is not None:  # they are copied only where no supervisor runs
        return _started(project, options, voice)
    with ahead(_site(project)) as begins:
        return _started(project, options, voice, begins=begins)


def _site(project: str) -> Site | None:
    return known_site(project, Settings(os.environ).xdg_runtime_dir)


def _started(project: str, options: Namespace, voice: Voice, *, begins: bool = False) -> int:
    """Start services, and say which were started; `begins` tells that a supervisor has only just begun."""
    from esker.cli.views.outdated_services import say_outdated
    from esker.cli.views.services import Live

    note_project(project, os.environ)
    planned = _planned(options, voice, project)
    services = _declared(options, voice, project) if planned is None else planned
    if options.data_from is not None:
        _copy_data(project, options, voice)
    _say_remarks(services, voice)
    # To ask a supervisor that begins, we would wait for it. Without one, only containers could run.
    states = () if begins and planned is not None else services.status()
    before = {status.name: status for status in states if status.has_started}
    try:
        with Live(voice, as_json=options.json) as live:
            statuses = services.start(
                *options.name, seconds=options.timeout, changed=live.show, recreate=options.recreate
            )
    except (ServiceError, ServicesNotReady):
        say_killed(live.killed.values(), voice)
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
    say_killed(live.killed.values(), voice)
    say_outdated(statuses, services.names, voice)
    say_notes([status for status in statuses if status.name not in before], voice)
    say_unknown(services, states, voice, left_out=True)
    return _print_states(statuses, options)


def _copy_data(project: str, options: Namespace, voice: Voice) -> None:
    from esker.services.supervised.sibling_data import copy_data

    names = copy_data(project, options.data_from, Settings(os.environ), os.environ)
    voice.say(f"✔ Copied the data of `{options.data_from}`: {', '.join(names)}")


def _restart(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.services import Live

    summary = "Stop services and start them with up-to-date variables."
    parser = _parser("restart", summary, "  esker services restart api", voice, activates=True)
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    _say_remarks(services, voice)
    killed: tuple[Killed, ...] = ()
    try:
        with Live(voice, as_json=options.json) as live:
            states = () if options.name or services.unreadable else services.status()
            if not any(status.status == UNKNOWN for status in states):
                undeclared = [status.name for status in states if status.name not in services.names]
                if undeclared:  # the manifest no longer declares them, but they still run
                    killed = services.stop(*undeclared).killed
            outcomes = services.restart(*options.name, seconds=options.timeout, changed=live.show)
    except (ServiceError, ServicesNotReady):
        say_killed([*killed, *live.killed.values()], voice)
        raise
    for name, outcome in sorted(outcomes.items()):
        voice.say(_runs_on(name) if outcome == "left" else f"✔ Service '{name}' {outcome}.")
    states = services.status()
    say_killed([*killed, *live.killed.values()], voice)
    say_unknown(services, states, voice, left_out=True)
    return _print_states([status for status in states if status.name in outcomes], options)


def _stop(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.services import as_record

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
        voice.say(_runs_on(name))
    none = () if options.name or result.stopped or result.left else services.names
    idle = (*result.not_running, *none)
    unknown = [it for it in services.status() if it.name in idle and it.status == UNKNOWN] if idle else []
    idle = tuple(name for name in idle if name not in {status.name for status in unknown})
    for name in idle:
        voice.say(f"! Service '{name}' is not running")
    if unknown or not options.name:
        say_unknown(services, unknown, voice)
    say_killed(result.killed, voice)
    for user in result.users:
        voice.remark(f"! '{user.service}' was in use by `{user.program}` (pid {user.pid})")
    if options.json:
        print_json(
            {
                "stopped": result.stopped,
                "left": result.left,
                "not_running": idle,
                "unknown": [status.name for status in unknown],
                "users": [as_record(user) for user in result.users],
                "killed": [as_record(killed) for killed in result.killed],
            }
        )
    return 0


def _runs_on(name: str) -> str:
    return f"! Service '{name}' runs on: its container ran before Esker used it (`stop --force` stops it too)"


def _status(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.outdated_services import say_outdated
    from esker.cli.views.services import reason, table

    examples = "  esker services status\n  esker services status --json\n  esker services status --watch"
    summary = "Show the services and their states; one in a container that nobody can look at is Unknown."
    parser = _parser("status", summary, examples, voice)
    parser.add_argument("--watch", action="store_true", help="keep showing them as they change")
    options = parser.parse_args(arguments)
    services = _present(options, voice)
    if options.watch:
        return _watch(services, options, voice)
    named = services.status(*options.name)
    states = {status.name: status for status in voice.service_states(services.status() if options.name else named)}
    statuses = [states[status.name] for status in named]
    if options.json:
        say_unknown(services, (), voice)
        return _print_states(statuses, options)
    print(table(statuses, voice), end=voice.end_of_table)
    for status in statuses:
        if text := reason(status):
            voice.remark(f"! {status.name}: {text}")
    if services.names:
        say_outdated(statuses, services.names, voice)
    say_notes(statuses, voice)
    say_unknown(services, statuses, voice)
    return 0


def _say_remarks(services: Chamber, voice: Voice) -> None:
    for text in services.remarks:
        voice.remark(f"! {text}")


def _watch(services: Chamber, options: Namespace, voice: Voice) -> int:
    from esker.cli.views.services import Live

    states = services.status(*options.name)
    say_unknown(services, states, voice)
    with Live(voice, as_json=options.json, always=True) as live:
        for status in states:
            live.show(status)
        for status in services.changes():
            if not options.name or status.name in options.name:
                live.show(status)
    return 0


def _logs(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services logs\n  esker services logs -n 50 api\n  esker services logs --follow"
    parser = _parser("logs", "Show the output of services.", examples, voice)
    parser.add_argument("-f", "--follow", action="store_true", help="keep showing new lines as they appear")
    parser.add_argument(
        "-n",
        "--tail",
        type=int,
        default=_LINES,
        metavar="N",
        help=f"show the last N lines of each (default: {_LINES})",
    )
    options = parser.parse_args(arguments)
    services = _present(options, voice)
    if not options.follow and voice.services_like_flox and len(options.name) != 1:
        message = "A single service name is required when the --follow flag is not specified"
        raise UsageError(message, hint=f"name one service, or follow several: {parser.prog} --follow")
    if not options.name:
        say_unknown(services, services.status(), voice)
    width = max(map(len, options.name or services.names), default=0)
    if options.follow:
        for name, line in services.follow(*options.name, count=options.tail):
            if options.json:
                print_json({"service": name, "line": line}, indent=None)
            else:
                print(shown(f"{name:<{width}}: {line}", colours=True), flush=True)
        return 0
    lines = [(name, line) for name in options.name or services.names for line in _log(services, name, options)]
    if options.json:
        print_json([{"service": name, "line": line} for name, line in lines])
    elif len(options.name) == 1:
        sys.stdout.write(shown("".join(f"{line}\n" for _, line in lines), colours=True))
    else:
        sys.stdout.write(shown("".join(f"{name:<{width}}: {line}\n" for name, line in lines), colours=True))
    return 0


def _log(services: Chamber, name: str, options: Namespace) -> list[str]:
    """Return the last lines of a service; none of a container that nobody can look at, unless it was named."""
    try:
        return services.logs(name, options.tail)
    except NoEngine:
        if options.name:
            raise
        return []


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
    project = chosen_project(options, os.environ)
    how = {"seconds": options.timeout, "pid": options.pid, "token": options.token}
    try:
        with ahead(_site(project)):
            note_project(project, os.environ)
            return _print_states(_services(options, voice, project).lease(*options.name, **how).statuses, options)
    except (ServiceError, ServicesNotReady) as error:
        if not options.json:
            raise
        print_json(error.record())
        return error.exit_status


def _release(arguments: list[str], voice: Voice) -> int:
    parser = _parser("release", "Release the services that `hold` started for a process.", "", voice)
    _add_holder(parser)
    options = parser.parse_args(arguments)
    _present(options, voice).release(options.pid, options.token)
    return 0


def _reset(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.services import Live

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
    say_killed((status.killed for status in statuses), voice)
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


def _present(options: Namespace, voice: Voice) -> Chamber:
    """Return the services, to look at or to stop; if the declaration cannot be used by now, those that run."""
    project = selected_project(options, os.environ)
    services = _planned(options, voice, project)
    if services is not None:
        return services
    from esker.cli.selected_services import present_services

    return present_services(options, voice, project)


def _services(options: Namespace, voice: Voice, project: str | None = None) -> Chamber:
    """Return the services of the selected environment, that of `project` if it is selected by now."""
    project = selected_project(options, os.environ) if project is None else project
    services = _planned(options, voice, project)
    return _declared(options, voice, project) if services is None else services


def _declared(options: Namespace, voice: Voice, project: str) -> Chamber:
    from esker.cli.selected_services import selected_services

    return selected_services(options, voice, project)


def _planned(options: Namespace, voice: Voice, project: str) -> Chamber | None:
    """Return the services of a project if its plan has all that is asked for; otherwise more has to be read."""
    asked = [options.runtime, options.services_from, *(vars(options)[name] for name in _OF_TOOLS if options.activates)]
    if any(asked) or registry.find_project(project, explicit=True)[1] != "native":
        return None
    from esker.environment import Environment
    from esker.services.supervised.planned import fresh_plan, planned_services

    plan = fresh_plan(project, Settings(os.environ), os.environ)
    names = planned_services(plan).keys() if plan is not None else set()
    if plan is None or not names or not names >= {*options.name}:
        return None
    if plan.minimum_version:
        voice.check_version(*plan.minimum_version)
    services = Environment(project, runtime=registry.runtime("native", project)).services
    services.like_flox = voice.services_like_flox
    return services


def _print_states(statuses: Iterable[ServiceStatus], options: Namespace) -> int:
    if options.json:
        from esker.cli.views.services import state_record

        print_json([state_record(status) for status in statuses])
    return 0
