"""`esker services`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from esker.cli.arguments import Parser, add_directory, group_usage, unknown_command
from esker.cli.selection import check_version, declared, selected
from esker.cli.voice import ESKER
from esker.declare.load import load
from esker.errors import ServiceError, ServicesNotReady, UsageError
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.arguments import Options
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.services.chamber import Chamber
    from esker.services.status import ServiceStatus

__all__ = ["Live", "run", "table"]

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
_FEWEST_ROWS = 3


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


def table(statuses: Iterable[ServiceStatus], *, plain: bool) -> str:
    """Return the states as a table: Flox's columns, and unless `plain` health, ports and uptime after them."""
    rows = [[one.name, _word(one), _pid(one, plain=plain), *([] if plain else _more(one))] for one in statuses]
    head = ["NAME", "STATUS", "PID", *([] if plain else ["HEALTH", "PORTS", "UPTIME"])]
    widths = [max(10, *(len(row[0]) for row in rows)), max(6, *(len(row[1]) for row in rows)), 8]
    lines = []
    for cells in (head, *rows):
        first = f"{cells[0]:<{widths[0]}} {cells[1]:<{widths[1]}} {cells[2]:>8}"
        lines.append(" ".join((first, f"{cells[3]:<9}", f"{cells[4]:<20}", cells[5])).rstrip() if cells[3:] else first)
    return "\n".join(lines)


def _word(one: ServiceStatus) -> str:
    done = one.exit_code is not None and one.exit_code >= 0 and one.pid is None
    return f"{one.status} ({one.exit_code})" if done and one.status in {"Completed", "Error"} else one.status


def _pid(one: ServiceStatus, *, plain: bool) -> str:
    if one.pid is None:
        return "" if plain else "-"
    return str(one.pid)


def _more(one: ServiceStatus) -> list[str]:
    ports = " ".join(f"{name}={port}" for name, port in sorted(one.ports.items()))
    return [one.health or "-", ports or "-", "-" if one.uptime is None else _span(one.uptime)]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


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
                state = "is already running" if one.pid is not None else "has completed already"
                voice.say(f"! Service '{one.name}' {state}.")
    _say_notes([one for one in found if one.name not in before], voice)
    return _as_json(found, options)


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
    return _as_json(services.status(*words), options)


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
    for user in () if voice.plain else done.users:
        voice.say(f"! '{user.service}' was in use by `{user.program}` (pid {user.pid})")
    if options.json:
        _print_json(
            {
                "stopped": done.stopped,
                "not_running": [*done.not_running, *idle],
                "users": [_record(u) for u in done.users],
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
        return _as_json(found, options)
    print(table(found, plain=voice.plain))
    if voice.plain:
        print()
        return 0
    for one in found:
        if one.message:
            voice.say(f"! {one.name}: {one.message}")
    _say_notes(found, voice)
    return 0


def _say_notes(found: Iterable[ServiceStatus], voice: Voice) -> None:
    """Tell in one line what people should know about services, which mostly holds for all; Flox has no such line."""
    notes = [one.note for one in found if one.note]
    if notes and not voice.plain:
        voice.say(f"! {notes[0]}" + (f" (so for {len(notes) - 1} more)" if notes[1:] else ""))


def _watch(services: Chamber, options: Options, voice: Voice) -> int:
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
            _print_json([{"service": options.name[0], "line": line} for line in lines])
        else:
            sys.stdout.write(voice.shown("".join(f"{line}\n" for line in lines), colours=True))
        return 0
    names = options.name or services.names
    width = max(map(len, names))
    for name, line in services.follow(*names, count=options.tail):
        print(voice.shown(f"{name:<{width}}: {line}", colours=True), flush=True)
    return 0


def _wait(arguments: list[str], voice: Voice) -> int:
    examples = "  esker services wait postgres\n  esker services wait --for completed migrate --timeout 30"
    parser = _parser("wait", "Wait until services are healthy, completed or stopped.", examples, voice)
    parser.add_argument("--for", dest="until", choices=_STATES, default=_STATES[0], help=f"the state ({_STATES[0]})")
    _add_timeout(parser, None)
    options = parser.parse_args(arguments)
    found = _services(options, voice).wait(*options.name, until=options.until, seconds=options.timeout)
    return _as_json(found, options)


def _hold(arguments: list[str], voice: Voice) -> int:
    parser = _parser("hold", "Start services for as long as a process lives, or until `release`.", "", voice)
    _add_holder(parser)
    _add_timeout(parser, _START_SECONDS)
    options = parser.parse_args(arguments)
    how = {"seconds": options.timeout, "pid": options.pid, "token": options.token}
    try:
        return _as_json(_services(options, voice).lease(*options.name, **how).statuses, options)
    except (ServiceError, ServicesNotReady) as error:
        if not options.json:
            raise
        _print_json(error.record())
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
        _print_json(wanted)
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


def _services(options: Options, voice: Voice) -> Chamber:
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


class Live:
    """The states of services while something is under way: redrawn in place on a terminal, else not shown."""

    def __init__(self, voice: Voice, *, as_json: bool = False, always: bool = False) -> None:
        self._states: dict[str, ServiceStatus] = {}
        self._drawn: list[str] = []
        self._plain = voice.plain
        self._terminal = sys.stderr.isatty() and not as_json and voice.level >= 0
        self._always = always
        self._json = as_json

    def show(self, one: ServiceStatus) -> None:
        """Show a service that has changed."""
        self._states[one.name] = one
        if self._terminal:
            self._erase()
            text = table((self._states[name] for name in sorted(self._states)), plain=self._plain)
            self._drawn = _fitting(text.split("\n"), *_terminal_size())
            sys.stderr.write("".join(f"{line}\n" for line in self._drawn))
            sys.stderr.flush()
        elif self._always:
            _print_json_line(one) if self._json else print(
                table([one], plain=self._plain).partition("\n")[2], flush=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._always:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            columns, rows = _terminal_size()  # it may have become smaller: what was one row may be two by now
            height = sum(1 + max(0, len(line) - 1) // columns for line in self._drawn)
            sys.stderr.write(f"\x1b[{min(height, rows - 1)}A\x1b[J")
            self._drawn = []


def _terminal_size() -> tuple[int, int]:
    """The columns and rows of the terminal; one that does not know them is taken for the usual one."""
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    return columns or 80, rows if rows > _FEWEST_ROWS else 24


def _fitting(lines: list[str], columns: int, rows: int) -> list[str]:
    """Return `lines` as they fit above the cursor, which can go back no further than the terminal is high."""
    room = rows - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more: see esker services status"]
    return [line[:columns] for line in lines]


def _as_json(found: Iterable[ServiceStatus], options: Options) -> int:
    if options.json:
        _print_json([_state(one) for one in found])
    return 0


def _state(one: ServiceStatus) -> dict[str, object]:
    """Return a state as JSON shows it: Flox's keys first."""
    return {**_record(one), "engine": "native"}


def _record(one: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one)  # type: ignore[call-overload, no-any-return]  # every value here is one of our dataclasses


def _print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2))


def _print_json_line(one: ServiceStatus) -> None:
    import json

    print(json.dumps(_state(one)), flush=True)
