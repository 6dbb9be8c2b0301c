"""`esker activate`.

An activation is warm if the lock, the store and the saved plan are current, so that nothing has to be prepared. On its
way to exec, a warm `activate -- CMD` imports nothing heavy, not even `json`.
"""

from __future__ import annotations

import os
import sys

from esker.cli import directory
from esker.cli.voice import LateProgress
from esker.host.variables import inherited
from esker.runtimes import registry
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace
    from typing import Any, TypeVar

    from esker.activate import active
    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.activate.starts.attachment import Attachment

    Attached = tuple[Activation, Attachment | None]
    """An activation, and the registration of the process that uses it; None if no other activation must know of it."""
    from esker.cli.directory import Option
    from esker.cli.voice import Voice
    from esker.runtimes.protocol import Runtime

    Entered = TypeVar("Entered")

__all__ = ["in_shell", "options_of", "run"]


def run(_: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    if arguments[:1] in (["allow"], ["deny"]):
        from esker.cli.commands import allow

        return allow.run(arguments[0], arguments[1:], voice)
    own, command = _split(arguments)
    options = _options(own, voice, command=command)
    if command is not None and (options.command is not None or not command):
        from esker.cli.activate_usage import wrong_command

        raise wrong_command(command, voice)
    for_eval = not options.json and command is None and options.command is None
    for_eval &= options.print_script or not sys.stdout.isatty()
    try:
        return _activated(options, command, voice, for_eval=for_eval)
    except BaseException:  # KeyboardInterrupt too: the calling shell goes on after it
        if for_eval:
            print("false")  # `eval` of an empty text succeeds: a script would go on without the environment
        raise


def _activated(options: SimpleNamespace, command: list[str] | None, voice: Voice, *, for_eval: bool) -> int:
    """Run the form of the command that the options ask for, and return its exit status."""
    environ = inherited()
    if options.services_from:
        environ["ESKER_SERVICES_FROM"] = options.services_from
    start, explicit = directory.place(options)
    project, kind = registry.find_project(start, explicit=explicit, runtime=options.runtime)
    if kind != "native":
        from esker.cli.other_runtime import check_options, plan_of
        from esker.cli.other_runtime import run as run_other

        check_options(options)
        if registry.RUNTIMES[kind].tool is None:
            runtime = registry.runtime(kind, project, options.mode, without_packages=options.without_packages)
            return run_other(runtime, options, command, environ, voice)
        plan = plan_of(kind, project, options, environ, LateProgress(voice))
    else:
        plan = _plan(project, options, environ, voice)
    if plan.missing:
        from esker.cli.views.activation import tell_missing

        tell_missing(plan, environ, voice)
    if options.json:
        from esker.cli.views.activation import print_changes

        return print_changes(plan, environ, _activation(plan, options, environ), voice)
    if command is None and options.command is None:
        if for_eval:
            return _in_place(plan, options, environ, voice)
        return _interactive(plan, options, environ, voice)
    attached = _begin(plan, options, environ, voice)
    activation, attachment = attached
    _announce(plan, environ, attachment, voice)
    if command is not None:
        from esker.activate.composition import within

        return _become(plan, options, environ, attached, (command, within(plan, environ, activation)), voice)
    from esker.activate.shells.shell import opened
    from esker.cli.views.activation import check_choice

    shell = opened(environ, interactive=False)
    check_choice(environ, shell.name, voice)
    return _become(plan, options, environ, attached, shell.command(plan, environ, activation, options.command), voice)


def _become(
    plan: Plan,
    options: SimpleNamespace,
    environ: Mapping[str, str],
    attached: Attached,
    command: tuple[list[str], Mapping[str, str]],
    voice: Voice,
) -> int:
    """Do as `_replaced` does; where there is no such command, say what is near."""
    try:
        return _replaced(plan, options, environ, attached, command, voice)
    except Exception as error:
        from esker.cli.views.activation import suggest

        suggest(error, plan, command[0][0])
        raise


def _replaced(
    plan: Plan,
    options: SimpleNamespace,
    environ: Mapping[str, str],
    attached: Attached,
    command: tuple[list[str], Mapping[str, str]],
    voice: Voice,
) -> int:
    """Replace this process by the command (arguments and variables), or run it as a child while it has services."""
    if _starts_services(plan, options):
        from contextlib import ExitStack

        from esker.cli.session import run_with_services, start_services

        runtime = _runtime(plan)
        with ExitStack() as stack:
            if attached[1] is not None:
                stack.callback(attached[1].leave)
            leased = start_services(runtime, _shared(attached), environ, voice)
            if leased is not None:
                return run_with_services(command, leased, voice)
            stack.pop_all()  # no services: exec keeps our pid, so our use of the environment becomes the command's
    from esker.host.process import execute

    return execute(*command)


def _shared(attached: Attached) -> active.Begun:
    """Return the activation for the services, whose process takes part in the start as well."""
    from esker.activate import active

    activation, attachment = attached
    return active.Begun(activation) if attachment is None else active.Begun(activation, share=attachment.share)


def _starts_services(plan: Plan, options: SimpleNamespace) -> bool:
    if options.start_services and options.no_start_services:
        from esker.errors import UsageError

        raise UsageError("--start-services and --no-start-services are mutually exclusive")
    return options.start_services or (plan.auto_start and not options.no_start_services)


def _in_place(plan: Plan, options: SimpleNamespace, environ: Mapping[str, str], voice: Voice) -> int:
    """Print the script that activates the environment in the calling shell, for `eval`."""
    from esker.activate.shells.shell import evaluating
    from esker.cli.views.activation import check_choice

    shell = evaluating(environ)
    check_choice(environ, shell.name, voice)

    def text(activate: Callable[[Mapping[str, str]], Activation]) -> str:
        return shell.in_place(plan, environ, activate, program=voice.path(), anew=options.fresh)

    printed, attachment = in_shell(plan, options, environ, voice, text)
    sys.stdout.buffer.write(printed.encode())
    _announce(plan, environ, attachment, voice)
    return 0


def in_shell(
    plan: Plan,
    options: SimpleNamespace,
    environ: Mapping[str, str],
    voice: Voice,
    entering: Callable[[Callable[[Mapping[str, str]], Activation]], Entered],
    *,
    pid: int | None = None,
) -> tuple[Entered, Attachment | None]:
    """Attach the calling shell, or the process `pid`, to an environment, and start services if that is asked for.

    `entering` gets a function that works out the activation in given variables, and calls it once. Return what it
    returned, and the attachment.
    """
    from esker.host.calling_shell import calling_shell

    shell = calling_shell() if pid is None else pid
    entered: list[Attached] = []

    def activate(given: Mapping[str, str]) -> Activation:
        entered.append(_begin(plan, options, given, voice, shell_pid=shell))
        return entered[0][0]

    try:
        result = entering(activate)
    except BaseException:
        for _, attachment in entered:
            if attachment is not None:
                attachment.leave()
        raise
    (attached,) = entered
    if _starts_services(plan, options):
        from esker.cli.session import start_services

        runtime = _runtime(plan)
        try:
            start_services(runtime, _shared(attached), environ, voice, shell=shell)
        except BaseException:
            if attached[1] is not None:
                attached[1].leave()
            raise
    return result, attached[1]


def _interactive(plan: Plan, options: SimpleNamespace, environ: Mapping[str, str], voice: Voice) -> int:
    """Replace this process by an interactive shell in the environment."""
    from esker.activate.composition import is_active
    from esker.activate.shells.shell import opened
    from esker.cli.views.activation import check_choice

    if is_active(plan, environ):
        from esker.errors import ActivationFailed

        raise ActivationFailed(f"Environment '{plan.name}' is already active", hint="leave it first: esker deactivate")
    attached = _begin(plan, options, environ, voice, shell_pid=os.getpid())
    activation, attachment = attached
    shell = opened(environ, interactive=True)
    check_choice(environ, shell.name, voice)
    argv, inside = shell.interactive(plan, environ, activation, program=voice.path())
    voice.say(_greeting(plan, attachment))
    voice.say(f"To stop using this environment, run '{voice.program} deactivate'")
    return _become(plan, options, environ, attached, (argv, inside), voice)


def _greeting(plan: Plan, attachment: Attachment | None) -> str:
    if attachment is not None and attachment.found:
        return f"✔ Attached to existing activation of environment '{plan.description}'"
    return f"✔ You are now using the environment '{plan.description}'"


def _announce(plan: Plan, environ: Mapping[str, str], attachment: Attachment | None, voice: Voice) -> None:
    """Greet a person at a terminal, unless the environment is the default one or is active already."""
    if sys.stderr.isatty() and plan.name != "default":
        from esker.activate.composition import is_active

        if not is_active(plan, environ):
            voice.say(_greeting(plan, attachment))


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Split at the first `--`: Esker's own arguments, and the command after it (None without a `--`)."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _mode(word: str) -> str:
    from esker.activate.plan import MODES

    if word not in MODES:
        from esker.errors import UsageError

        raise UsageError(f"couldn't parse `{word}`: not a valid activation mode", hint="write dev or run")
    return word


def _generation(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        from esker.errors import UsageError

        raise UsageError(f"`{word}` is not a generation", hint="generations have numbers: esker generations list")
    return int(word)


_TRUE = "store_true"
_FLAG = {"action": _TRUE}
_OPTIONS: tuple[Option, ...] = (
    *directory.OPTIONS,
    (("-c", "--command"), {"metavar": "CMD", "help": "run CMD in the shell, after the profile scripts"}),
    (
        ("-m", "--mode"),
        {"type": _mode, "metavar": "dev|run", "help": "dev (default) also sets the variables of compilers"},
    ),
    (("-p", "--print-script"), _FLAG | {"help": "print the script for `eval`, even on a terminal"}),
    (("-s", "--start-services"), _FLAG | {"help": "start services; they stop when their last user leaves"}),
    (("--no-start-services",), _FLAG | {"help": "start no services, whatever the manifest says"}),
    directory.SERVICES_FROM,
    (("--add-sbin",), _FLAG | {"help": "put the environment's sbin on PATH too"}),
    (("-t", "--trust"), _FLAG | {"help": "trust the project, for this activation only"}),
    (
        ("-g", "--generation"),
        {"type": _generation, "metavar": "N", "help": "activate the environment as it was in generation N"},
    ),
    (("--fresh",), _FLAG | {"help": "run the hook, even if others use the environment or its services run"}),
    (("--locked",), _FLAG | {"help": "fail if the lock is stale, instead of renewing it"}),
    directory.NO_PYTHON_DOWNLOADS,
    directory.RUNTIME,
    *directory.OF_TOOLS,
    (("--without-packages",), _FLAG | {"help": "leave out packages of [install] that are not on this machine"}),
    (("--json",), _FLAG | {"help": "print the changes of variables as JSON; run no hook, write nothing"}),
)


def _options(arguments: list[str], voice: Voice, *, command: list[str] | None = None) -> SimpleNamespace:
    try:
        values = _read(arguments)
    except (KeyError, ValueError):
        from esker.cli.activate_usage import parser

        values = vars(parser(_OPTIONS, arguments, command, voice).parse_args(arguments))
    return options_of(**values)


def options_of(**values: Any) -> SimpleNamespace:
    """Return options by their names, as a command line gives them."""
    # `sys.implementation` is a SimpleNamespace too; importing `types` for the class would take 0.2 ms.
    options: SimpleNamespace = type(sys.implementation)(**values)  # type: ignore[assignment]
    return options


def _read(arguments: list[str]) -> dict[str, Any]:
    """Return the value of each option, for a command line of the usual form.

    Raises KeyError or ValueError for any other: then argparse reads it, and reports its errors or shows the help. This
    saves importing argparse, which costs a third of a warm activation.
    """
    options = {name: (_destination(names), how) for names, how in _OPTIONS for name in names}
    values = {destination: False if how.get("action") == _TRUE else None for destination, how in options.values()}
    words = iter(arguments)
    for word in words:
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        destination, how = options[name]
        if how.get("action", _TRUE) != _TRUE:  # an option that may be repeated
            raise ValueError(word)
        if "action" not in how:
            value = value if joined else next(words, "-")  # without a value: "-" is refused below
        if value.startswith("-") or (joined and "action" in how) or value not in how.get("choices", (value,)):
            raise ValueError(word)
        values[destination] = True if "action" in how else how.get("type", str)(value)
    return values


def _destination(names: tuple[str, ...]) -> str:
    """Return the name of an option's attribute, made from its first long name."""
    return next(name for name in names if name.startswith("--"))[2:].replace("-", "_")


def _runtime(plan: Plan) -> Runtime:
    if plan.state is not None and plan.tool is not None:
        return registry.runtime(plan.tool, plan.project, plan.mode)
    return registry.runtime("native", plan.project, plan.mode, without_packages=bool(plan.missing))


def _plan(project: str, options: SimpleNamespace, environ: Mapping[str, str], voice: Voice) -> Plan:
    from esker.activate.composition import is_without_packages
    from esker.runtimes.native.runtime import prepare

    without = options.without_packages or is_without_packages(project, environ)
    settings = Settings(
        environ,
        trusts_everything=options.trust,
        without_packages=without,
        python_downloads=not options.no_python_downloads,
        tool_choice=_tool_choice(project, options, environ),
        tool_refresh=options.refresh,
    )
    generation = _wanted_generation(project, options, environ)
    if generation is not None:
        from esker.runtimes.native.earlier import plan_of_generation

        plan = plan_of_generation(project, settings, generation, mode=options.mode, look=options.json)
    elif options.json:
        from esker.runtimes.native.preview import preview

        plan = preview(project, settings, mode=options.mode)
    else:
        plan = prepare(project, settings, mode=options.mode, locked=options.locked, progress=LateProgress(voice))
    if plan.minimum_version:
        voice.check_version(*plan.minimum_version)
    return plan


def _tool_choice(project: str, options: SimpleNamespace, environ: Mapping[str, str]) -> str:
    """Return what is asked of a tool that gives the toolchain: by the options, or else by the activation around us."""
    if not (options.shell or options.override_input or options.impure or "_FLOX_ACTIVE_ENVIRONMENTS" in environ):
        return ""
    from esker.cli.other_runtime import tool_choice

    return tool_choice(f"{project}/.flox", options, environ)


def _wanted_generation(project: str, options: SimpleNamespace, environ: Mapping[str, str]) -> int | None:
    """Return the generation that is asked for, or else the one that the caller is inside of."""
    active = environ.get("_FLOX_ACTIVE_ENVIRONMENTS")
    if options.generation is not None or active is None:
        generation: int | None = options.generation
        return generation
    from esker.activate.lists import active_generation

    return active_generation(f"{project}/.flox", active)


def _begin(
    plan: Plan,
    options: SimpleNamespace,
    environ: Mapping[str, str],
    voice: Voice,
    *,
    shell_pid: int | None = None,
) -> Attached:
    """Run the hook if it has to run, and work out the activation.

    If other activations must know of this one, its process is registered as a user of the environment. `shell_pid` is
    the shell that is activated, if it is not this process that becomes the command.
    """
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    services = _starts_services(plan, options)
    if not plan.is_shared(runtime, lasting=shell_pid is not None or services):
        directory = None
        if plan.has_temporary:
            from esker.activate.composition import is_started
            from esker.host import temporary

            if not is_started(plan, environ):
                directory = temporary.make(environ.get("TMPDIR"))
                temporary.remove_after(directory)
        return _activation(plan, options, environ, run_code=True, temporary=directory), None
    from esker.activate.starts.attachment import Participant, attach

    attachment = attach(
        plan,
        environ,
        Participant(shell_pid, lasting=shell_pid is not None or services, anew=options.fresh),
        add_sbin=options.add_sbin,
        start_services=services,
        waiting=lambda pid: voice.say(f"⚠️  Waiting for another activation to complete (blocked by PID {pid})..."),
    )
    if attachment.outruns:
        voice.remark(
            f"! The hook has run, because `{plan.name}` has changed since its services were started. They still have "
            f"the earlier variables: `{voice.program} services restart` gives them the new ones"
        )
    return attachment.activation, attachment


def _activation(
    plan: Plan,
    options: SimpleNamespace,
    environ: Mapping[str, str],
    *,
    run_code: bool = False,
    temporary: str | None = None,
) -> Activation:
    from esker.activate.composition import activation

    return activation(
        plan,
        environ,
        runtime_directory=plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"), make=run_code),
        add_sbin=options.add_sbin,
        start_services=_starts_services(plan, options),
        run_code=run_code,
        temporary=temporary,
    )
