"""`esker activate` and `esker deactivate`.

A warm `activate -- CMD` ends in exec without having imported more than json and the modules it needs.
"""

from __future__ import annotations

import os
import sys

from esker.cli.arguments import HIDDEN, Parser, add_directory, place, split_command
from esker.cli.voice import ESKER
from esker.errors import ActivationFailed, UsageError
from esker.host.variables import inherited
from esker.runtimes import registry
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.activate.starts.attachment import Attachment

    Begun = tuple[Activation, Attachment | None]
    """What an activation changes, and how it is registered, where it has to be."""
    from esker.cli.arguments import Options
    from esker.cli.voice import Voice
    from esker.progress import Progress

__all__ = ["run"]

_EXAMPLES = """\
  esker activate -- pytest -q           run a command, replacing this process
  esker activate -c 'echo "$PATH"'      run a command of the shell
  esker activate                        an interactive shell
  eval "$(esker activate)"              this shell itself; leave with: esker deactivate
  esker activate -s -- pytest -q        with the services, which end with it unless others use them
  esker activate --locked -- pytest -q  in CI: a stale lock is an error
  esker activate --json                 the difference of variables, running nothing of the project
"""


def run(name: str, arguments: list[str], voice: Voice = ESKER) -> int:
    """Run `activate` or `deactivate`."""
    return _deactivate(arguments, voice) if name == "deactivate" else _activate(arguments, voice)


def _activate(arguments: list[str], voice: Voice) -> int:
    own, command = split_command(arguments)
    options = _options(own, voice)
    if command is not None and (options.command is not None or not command):
        raise UsageError("after `--` stands one command, and none besides with -c", hint="see: esker activate --help")
    for_eval = not options.json and command is None and options.command is None
    for_eval &= options.print_script or not sys.stdout.isatty()
    try:
        return _activated(options, command, voice, for_eval=for_eval)
    except BaseException:  # an interruption too: the shell survives it
        if for_eval:
            print("false")  # `eval` of nothing is a success, after which a script would go on without the environment
        raise


def _activated(options: Options, command: list[str] | None, voice: Voice, *, for_eval: bool) -> int:
    environ = inherited()
    start, explicit = place(options)
    project, kind = registry.find(start, explicit=explicit)
    if kind != "native":
        from esker.cli.other_runtime import run as run_other

        return run_other(registry.runtime(kind, project, options.mode), options, command, environ, voice)
    plan = _plan(project, options, environ, voice)
    if options.json:
        return _print_json(plan, _activation(plan, options, environ), environ, voice)
    if command is None and options.command is None:
        if for_eval:
            return _in_place(plan, options, environ, voice)
        return _interactive(plan, options, environ, voice)
    begun = _begin(plan, options, environ, voice)
    _announce(plan, environ, begun[1], voice)
    if command is None:
        from esker.activate.shells.bash import shell

        command = shell().command(plan, environ, begun[0], options.command)
    return _become(plan, options, environ, begun, (command, begun[0].apply(environ)), voice)


def _become(
    plan: Plan,
    options: Options,
    environ: Mapping[str, str],
    begun: Begun,
    command: tuple[list[str], Mapping[str, str]],
    voice: Voice,
) -> int:
    """Become the command (arguments and variables), or stay its parent for as long as services run for it."""
    if _starts_services(plan, options):
        from contextlib import ExitStack

        from esker.cli.session import run_with_services, start_services

        runtime = registry.runtime("native", plan.project, plan.mode)
        with ExitStack() as stack:
            if begun[1] is not None:
                stack.callback(begun[1].leave)
            leased = start_services(runtime, begun[0], environ, voice)
            if leased is not None:
                return run_with_services(command, leased, voice)
            stack.pop_all()  # there is nothing to wait for: the command takes our place, and our use of the start
    from esker.host.process import execute

    return execute(*command)


def _starts_services(plan: Plan, options: Options) -> bool:
    if options.start_services and options.no_start_services:
        raise UsageError("--start-services and --no-start-services are mutually exclusive")
    return options.start_services or (plan.auto_start and not options.no_start_services)


def _in_place(plan: Plan, options: Options, environ: Mapping[str, str], voice: Voice) -> int:
    from esker.activate.shells.bash import shell
    from esker.host.calling_shell import calling_shell

    begun: list[Begun] = []

    def activate(given: Mapping[str, str]) -> Activation:
        begun.append(_begin(plan, options, given, voice, shell_pid=calling_shell()))
        return begun[0][0]

    text = shell().in_place(plan, environ, activate, program=voice.path())
    if _starts_services(plan, options):
        from esker.cli.session import start_services

        runtime = registry.runtime("native", plan.project, plan.mode)
        try:
            start_services(runtime, begun[0][0], environ, voice, shell=calling_shell())
        except BaseException:
            if begun[0][1] is not None:
                begun[0][1].leave()
            raise
    sys.stdout.buffer.write(text.encode())
    _announce(plan, environ, begun[0][1], voice)
    return 0


def _interactive(plan: Plan, options: Options, environ: Mapping[str, str], voice: Voice) -> int:
    from esker.activate.composition import is_active
    from esker.activate.shells.bash import shell

    if is_active(plan, environ):
        raise ActivationFailed(f"Environment '{plan.name}' is already active", hint="leave it first: esker deactivate")
    begun = _begin(plan, options, environ, voice, shell_pid=os.getpid())
    argv, inside = shell().interactive(plan, environ, begun[0], program=voice.path())
    voice.say(_greeting(plan, begun[1]))
    voice.say(f"To stop using this environment, run '{voice.program} deactivate'")
    return _become(plan, options, environ, begun, (argv, inside), voice)


def _greeting(plan: Plan, attachment: Attachment | None) -> str:
    if attachment is not None and attachment.found:
        return f"✔ Attached to existing activation of environment '{plan.description}'"
    return f"✔ You are now using the environment '{plan.description}'"


def _announce(plan: Plan, environ: Mapping[str, str], attachment: Attachment | None, voice: Voice) -> None:
    """Tell a person at a terminal which environment begins, unless it is one that is everywhere or here already."""
    if sys.stderr.isatty() and plan.name != "default":
        from esker.activate.composition import is_active

        if not is_active(plan, environ):
            voice.say(_greeting(plan, attachment))


def _mode(word: str) -> str:
    if word not in {"dev", "run"}:
        raise UsageError(f"couldn't parse `{word}`: not a valid activation mode", hint="write dev or run")
    return word


def _options(arguments: list[str], voice: Voice) -> Options:
    if arguments[:1] in (["allow"], ["deny"]):
        raise UsageError(f"`activate {arguments[0]}` is not there yet: no environment is activated unasked")
    parser = Parser("activate", "Run a command or a shell in the environment.", _EXAMPLES, voice=voice)
    parser.stray = f"a command stands behind `--`: {parser.prog} --"
    add_directory(parser)
    parser.add_argument("-c", "--command", metavar="CMD", help="run CMD by the shell, after the profile scripts")
    parser.add_argument(
        "-m", "--mode", type=_mode, metavar="dev|run", help="dev sets variables for compilers too (default)"
    )
    parser.add_argument("-p", "--print-script", action="store_true", help="print what `eval` needs, terminal or not")
    parser.add_argument(
        "-s", "--start-services", action="store_true", help="with the services, until the last user leaves"
    )
    parser.add_argument("--no-start-services", action="store_true", help="without them, whatever the manifest says")
    parser.add_argument("--add-sbin", action="store_true", help="put the environment's sbin on PATH too")
    parser.add_argument("-t", "--trust", action="store_true", help="trust the project, for this activation")
    parser.add_argument("-g", "--generation", metavar="N", help=HIDDEN)
    parser.add_argument("--locked", action="store_true", help="refuse a stale lock instead of making it again")
    parser.add_argument("--json", action="store_true", help="print the difference as JSON; no hook runs")
    options = parser.parse_args(arguments)
    if options.generation is not None:
        raise UsageError("Generations are only available for environments pushed to floxhub")
    return options


def _plan(project: str, options: Options, environ: Mapping[str, str], voice: Voice) -> Plan:
    from esker.runtimes.native.runtime import prepare

    settings = Settings(environ, trusts_everything=options.trust)
    plan = prepare(project, settings, mode=options.mode, locked=options.locked, progress=_Late(voice))
    if plan.minimum_version:
        voice.check_version(*plan.minimum_version)
    return plan


class _Late:
    """A listener that is made when there is something to say: a warm activation never imports it."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._listener: Progress | None = None

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Make the real listener, and pass on."""
        if self._listener is None:
            self._listener = self._voice.progress()
        self._listener.begin(title, total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        """Pass on."""
        if self._listener is not None:
            self._listener.advance(count)

    def end(self) -> None:
        """Pass on."""
        if self._listener is not None:
            self._listener.end()


def _begin(
    plan: Plan,
    options: Options,
    environ: Mapping[str, str],
    voice: Voice,
    *,
    shell_pid: int | None = None,
) -> Begun:
    """Work out the activation; where it has to do with others of the environment, register who uses it."""
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    services = _starts_services(plan, options)
    if not plan.is_shared(runtime, lasting=shell_pid is not None or services):
        return _activation(plan, options, environ, run_code=True), None
    from esker.activate.starts.attachment import User, attach

    found = attach(
        plan,
        environ,
        User(shell_pid, lasting=shell_pid is not None or services),
        add_sbin=options.add_sbin,
        start_services=services,
        waiting=lambda pid: voice.say(f"⚠️  Waiting for another activation to complete (blocked by PID {pid})..."),
    )
    return found.activation, found


def _activation(plan: Plan, options: Options, environ: Mapping[str, str], *, run_code: bool = False) -> Activation:
    from esker.activate.composition import activation

    return activation(
        plan,
        environ,
        runtime_directory=plan.runtime_directory(environ.get("XDG_RUNTIME_DIR")),
        add_sbin=options.add_sbin,
        start_services=_starts_services(plan, options),
        run_code=run_code,
    )


def _print_json(plan: Plan, activation: Activation, environ: Mapping[str, str], voice: Voice) -> int:
    import json

    from esker.activate.composition import left_out

    json.dump(activation.published(environ), sys.stdout, indent=2)
    print()
    if names := left_out(plan, environ):
        voice.say(f"! Left out, since only the project's own code could tell: {', '.join(names)}")
    return 0


def _deactivate(arguments: list[str], voice: Voice) -> int:
    from esker.activate.shells.bash import shell

    summary = "Leave the environment that this shell activated last, and undo exactly what activating it has done."
    examples = '  esker deactivate\n  eval "$(esker deactivate)"    where the shell has no `esker` function'
    parser = Parser("deactivate", summary, examples, voice=voice)
    parser.add_argument("-p", "--print-script", action="store_true", help="print what `eval` needs, terminal or not")
    options = parser.parse_args(arguments)
    environ = inherited()
    text = shell().deactivation(environ, program=voice.path())
    if text is None:
        voice.say("ℹ No environment active!")  # noqa: RUF001  # Flox's sign for information
    elif sys.stdout.isatty() and not options.print_script:
        raise UsageError("a command cannot change the shell it is typed in", hint='eval "$(esker deactivate)"')
    else:
        sys.stdout.buffer.write(text.encode())
        _detach(environ)
    return 0


def _detach(environ: Mapping[str, str]) -> None:
    """Take the shell off the processes that use the environment which it is about to leave."""
    from esker.activate.shells import undo
    from esker.activate.starts import registry as starts
    from esker.host.calling_shell import calling_shell
    from esker.host.runtime_directory import environment_directory

    departure = undo.leave(environ)
    if departure is not None and os.path.isdir(departure.dot_flox):
        if environ.get("FLOX_ACTIVATE_START_SERVICES") == "true":
            from esker.cli.session import release_for_shell

            release_for_shell(os.path.dirname(departure.dot_flox), environ, calling_shell())
        path = starts.place(environment_directory(departure.dot_flox, environ.get("XDG_RUNTIME_DIR")))
        starts.leave(path, starts.member(calling_shell()))
