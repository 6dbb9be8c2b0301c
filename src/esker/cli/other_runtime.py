"""`esker activate` in a project that is declared for another tool, whether or not that gives a plan to activate.

A warm activation of such a project runs this module: at its top it imports nothing heavy.
"""

from __future__ import annotations

from esker.activate.composition import active_tool_choice
from esker.runtimes.foreign.choice import ToolChoice
from esker.runtimes.foreign.place import place
from esker.runtimes.foreign.runtime import prepare
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from types import SimpleNamespace

    from esker.activate.plan import Plan
    from esker.cli.voice import Voice
    from esker.progress import Progress
    from esker.runtimes.protocol import Runtime

__all__ = ["asked", "check_options", "plan_of", "run", "tool_choice"]

_FOR_FLOX = ("generation", "locked", "without_packages")


def check_options(options: SimpleNamespace) -> None:
    """Raise UsageError for an option that means something for environments in `.flox` alone."""
    for name in _FOR_FLOX:
        if getattr(options, name) not in {None, False}:
            from esker.errors import UsageError

            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"`{option}` is for environments in `.flox`, which this project has not")


def plan_of(kind: str, project: str, options: SimpleNamespace, environ: Mapping[str, str], progress: Progress) -> Plan:
    """Return the plan of a project without `.flox`; with --json, its tool is not asked and nothing is written."""
    choice = tool_choice(place(project, kind, Settings(environ)), options, environ)
    settings = Settings(environ, trusts_everything=options.trust, tool_choice=choice, tool_refresh=options.refresh)
    return prepare(kind, project, settings, mode=options.mode, progress=progress, look=options.json)


def tool_choice(dot_flox: str, options: SimpleNamespace, environ: Mapping[str, str]) -> str:
    """Return what is asked of a tool: what the options say, or else what the activation around us goes by."""
    return asked(options) or active_tool_choice(dot_flox, environ)


def asked(options: Namespace | SimpleNamespace) -> str:
    """Return what the options of `directory.OF_TOOLS` ask of a tool; empty if they ask nothing."""
    overrides = {}
    for word in options.override_input or ():
        name, equals, reference = word.partition("=")
        if not (name and equals and reference):
            from esker.errors import UsageError

            message = f"`--override-input {word}` does not say what is taken in place of which input"
            raise UsageError(
                message, hint="write NAME=REF: --override-input nixpkgs=github:NixOS/nixpkgs/nixos-unstable"
            )
        overrides[name] = reference
    return ToolChoice(options.shell, overrides, options.impure).text


def run(
    runtime: Runtime, options: SimpleNamespace, command: list[str] | None, environ: Mapping[str, str], voice: Voice
) -> int:
    """Run a command in an activation that ends with it, or print the changes of variables as JSON."""
    from esker.cli.session import run_with_services, start_services

    if command is None and options.command is None and not options.json:
        from esker.errors import UsageError

        raise UsageError(
            f"the runtime `{runtime.name}` can only be activated for a command, and none was given",
            hint="give one: esker activate -- CMD, or esker activate -- bash for a shell",
        )
    begun = runtime.begin(environ)
    try:
        if options.json:
            import json

            print(json.dumps(begun.activation.published(environ), indent=2))
            return 0
        argv = command or ["sh", "-c", options.command]
        leased = start_services(runtime, begun, environ, voice) if options.start_services else None
        return run_with_services((argv, begun.activation.apply(environ)), leased, voice)
    finally:
        begun.end()
