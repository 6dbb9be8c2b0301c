"""`esker services`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, group_usage, unknown_command
from esker.cli.selection import check_version, declared, selected
from esker.cli.views.output import print_json, shown
from esker.cli.views.services import Live, record, state, table
from esker.cli.voice import ESKER
from esker.declare.load import load
from esker.errors import ServiceError, ServicesNotReady, UsageError
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.services.chamber import Chamber
    from esker.services.status import ServiceStatus

__all__ = ["run"]

_COMMANDS = {
    "start": "start services, and return when they are ready; they run until `services stop`",
    "stop": "stop services, whoever uses them",
    "restart": "stop services and start them with new variables",
    "status": "show what runs, and how it is",
    "logs": "show what services have written",
    "wait": "wait until services are healthy, completed or stopped",
    "ports": "show the ports of this checkout, or choose others",
}
_FOR_PROGRAMS = {"hold": "start services for a process", "release": "give back what a process holds"}
_START_SECONDS = 60.0
_LINES = 15
_STATES = ("healthy", "completed", "stopped")
_PAUSE = 0.1


def run(name: str, arguments: list[str], voice: Voice = ESKER) -> int:
    """Run one of the commands."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(group_usage(f"{voice.program} {name}", _COMMANDS))
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in _COMMANDS | _FOR_PROGRAMS:
        raise unknown_command(command, _COMMANDS, of=f"{voice.program} {name}")
    do = {
        "start": _start,
        "stop": _stop,
        "restart": _restart,
        "status": _status,
        "logs": _logs,
        "wait": _wait,
        "ports": _ports,
        "hold": _hold,
        "release": _release,
    }[command]
    return do(rest, voice)


def _start(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services start\n  esker services start postgres --timeout 20"
    parser = _parser("start", "Start services and return when they are ready.", examples, voice)
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    before = {one.name: one.started_at for one in services.status() if one.pid is not None or one.ready}
    with Live(voice, as_json=options.json) as live:
        found = services.start(*options.name, seconds=options.timeout, changed=live.show)
    named = options.name or [one.name for one in found]
    for one in found:
        if one.name in named or one.name not in before:
            if one.name not in before or one.started_at != before[one.name]:
                voice.say(f"✔ Service '{one.name}' started.")
            else:
                condition = "is already running" if one.pid is not None else "has completed already"
                voice.say(f"! Service '{one.name}' {condition}.")
    _say_notes([one for one in found if one.name not in before], voice)
    return _print_states(found, options)


def _restart(arguments: list[str], voice: Voice) -> int:
    parser = _parser(
        "restart", "Stop services and start them with new variables.", "  esker services restart api", voice
    )
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    with Live(voice, as_json=options.json) as live:
        if not options.name and (gone := [one.name for one in services.status() if one.name not in services.names]):
            services.stop(*gone)  # what is not declared any more
        words = services.restart(*options.name, seconds=options.timeout, changed=live.show)
    for name, word in sorted(words.items()):
        voice.say(f"✔ Service '{name}' {word}.")
    return _print_states(services.status(*words), options)


def _stop(arguments: list[str], voice: Voice) -> int:
    parser = _parser(
        "stop", "Stop services, whoever uses them.", "  esker services stop\n  esker services stop api", voice
    )
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    done = services.stop(*options.name)
    for name in done.stopped:
        voice.say(f"✔ Service '{name}' stopped")
    idle = () if options.name or done.stopped else services.names
    for name in (*done.not_running, *idle):
        voice.say(f"! Service '{name}' is not running")
    for user in done.users:
        voice.remark(f"! '{user.service}' was in use by `{user.program}` (pid {user.pid})")
    if options.json:
        print_json(
            {
                "stopped": done.stopped,
                "not_running": [*done.not_running, *idle],
                "users": [record(u) for u in done.users],
            }
        )
    return 0


def _status(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services status\n  esker services status --json\n  esker services status --watch"
    parser = _parser("status", "Show what runs, and how it is.", examples, voice)
    parser.add_argument("--watch", action="store_true", help="go on showing it")
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    if options.watch:
        return _watch(services, options, voice)
    found = services.status(*options.name)
    if options.json:
        return _print_states(found, options)
    print(table(found, voice), end=voice.end_of_table)
    for one in found:
        if one.message:
            voice.remark(f"! {one.name}: {one.message}")
    _say_notes(found, voice)
    return 0


def _say_notes(found: Iterable[ServiceStatus], voice: Voice) -> None:
    """Tell in one line what people should know about services, which mostly holds for all."""
    notes = [one.note for one in found if one.note]
    if notes:
        voice.remark(f"! {notes[0]}" + (f" (so for {len(notes) - 1} more)" if notes[1:] else ""))


def _watch(services: Chamber, options: Namespace, voice: Voice) -> int:
    with Live(voice, as_json=options.json, always=True) as live:
        for one in services.status():
            live.show(one)
        for one in services.changes():
            if not options.name or one.name in options.name:
                live.show(one)
    return 0


def _logs(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services logs api\n  esker services logs -n 50 api\n  esker services logs --follow"
    parser = _parser("logs", "Show what services have written.", examples, voice)
    parser.add_argument("-f", "--follow", action="store_true", help="go on showing what they write")
    parser.add_argument("-n", "--tail", type=int, default=_LINES, metavar="N", help=f"the last N lines ({_LINES})")
    options = parser.parse_args(arguments)
    services = _services(options, voice)
    if not options.follow:
        if len(options.name) != 1:
            message = "A single service name is required when the --follow flag is not specified"
            raise UsageError(message, hint=f"name one, or all as they write: {parser.prog} --follow")
        lines = services.logs(options.name[0], options.tail)
        if options.json:
            print_json([{"service": options.name[0], "line": line} for line in lines])
        else:
            sys.stdout.write(shown("".join(f"{line}\n" for line in lines), colours=True))
        return 0
    names = options.name or services.names
    width = max(map(len, names))
    for name, line in services.follow(*names, count=options.tail):
        print(shown(f"{name:<{width}}: {line}", colours=True), flush=True)
    return 0


def _wait(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services wait postgres\n  esker services wait --for completed migrate --timeout 30"
    parser = _parser("wait", "Wait until services are healthy, completed or stopped.", examples, voice)
    parser.add_argument("--for", dest="until", choices=_STATES, default=_STATES[0], help=f"the state ({_STATES[0]})")
    _add_timeout(parser, None)
    options = parser.parse_args(arguments)
    found = _services(options, voice).wait(*options.name, until=options.until, seconds=options.timeout)
    return _print_states(found, options)


def _hold(arguments: list[str], voice: Voice) -> int:
    parser = _parser("hold", "Start services for as long as a process lives, or until `release`.", "", voice)
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
    parser = _parser("release", "Give back what `hold` has started for a process.", "", voice)
    _add_holder(parser)
    options = parser.parse_args(arguments)
    _services(options, voice).release(options.pid, options.token)
    return 0


def _add_holder(parser: Parser) -> None:
    parser.add_argument("--pid", type=int, required=True, help="the process")
    parser.add_argument("--token", required=True, help="any text: all that a process holds with it is released at once")


def _ports(arguments: list[str], voice: Voice) -> int:
    from esker.activate.allocation import allocate
    from esker.runtimes.native.preparation import forget_plans

    examples = "  esker services ports\n  esker services ports --renew"
    parser = _parser("ports", "Show the ports of this checkout, or choose others.", examples, voice)
    parser.add_argument("--renew", action="store_true", help="choose other automatic ports")
    options = parser.parse_args(arguments)
    declaration = declared(options, os.environ, voice)
    found = allocate(declaration, Settings(os.environ), renew=options.renew)
    if options.renew:
        forget_plans(declaration)
        voice.say("✔ Services take their new ports at their next start.")
    owners = {variable: name for name, one in declaration.esker.services.items() for variable in one.ports}
    wanted = {
        variable: port for variable, port in found.items() if not options.name or owners[variable] in options.name
    }
    if options.json:
        print_json(wanted)
    else:
        for variable, port in sorted(wanted.items()):
            print(f"{variable}={port}")
    return 0


def _parser(command: str, summary: str, examples: str, voice: Voice) -> Parser:
    parser = Parser(f"services {command}", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("name", nargs="*", metavar="NAME", help="services (default: all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _add_timeout(parser: Parser, default: float | None) -> None:
    shown = f"{default:g} s" if default is not None else "none"
    parser.add_argument("--timeout", type=float, default=default, metavar="SECONDS", help=f"at most so long ({shown})")


def _services(options: Namespace, voice: Voice) -> Chamber:
    """Return the services of the environment that is meant; raises ServiceError where it has none."""
    from esker.environment import Environment

    environment = Environment(selected(options, os.environ))
    if os.path.isdir(f"{environment.project}/.flox"):
        declaration = load(environment.project)
        check_version(declaration.manifest, voice)
        _require_services(declaration, Settings(os.environ).system, options.name)
    return environment.services


def _require_services(declaration: Declaration, system: str, names: Iterable[str]) -> None:
    services = declaration.manifest.services
    if services is None or not services.services:
        hint = "declare one in [services]"
        raise ServiceError("Environment does not have any services defined.", hint=hint)
    if not declaration.services_for(system):
        hint = f"add `{system}` to the `systems` of one"
        raise ServiceError(f"Environment does not have any services defined for '{system}'.", hint=hint)
    for name in names:
        if name in services.services and name not in declaration.services_for(system):
            hint = f"add `{system}` to its `systems`"
            raise ServiceError(f"Service '{name}' is not available on '{system}'.", hint=hint)


def _print_states(found: Iterable[ServiceStatus], options: Namespace) -> int:
    if options.json:
        print_json([state(one) for one in found])
    return 0
