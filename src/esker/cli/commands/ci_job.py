"""The commands that jobs call: `esker ci key`, `prepare`, `export` and `forward`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place
from esker.errors import UsageError
from esker.runtimes import registry

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from esker.cli.voice import Voice

__all__ = ["export", "forward", "key", "prepare"]


def key(arguments: list[str], voice: Voice) -> int:
    """Run `ci key`."""
    summary = (
        "Print what a cache restores and saves, as lines for GITHUB_OUTPUT: path, key, and how similar keys start. "
        "Nothing, if the environment is not made by Esker."
    )
    parser = Parser("ci key", summary, '  esker ci key >> "$GITHUB_OUTPUT"', voice=voice)
    project, name, _ = _project(parser, arguments)
    if name == "native":
        from esker.declare.load import load
        from esker.settings import Settings
        from esker.ship.ci.cached import kept

        for word, value in zip(("path", "key", "start"), kept(load(project), Settings(os.environ)), strict=True):
            print(f"{word}={value}")
    return 0


def prepare(arguments: list[str], voice: Voice) -> int:
    """Run `ci prepare`."""
    summary = "Install the environment as it is locked, and print in Markdown what was there and what was made."
    parser = Parser("ci prepare", summary, '  esker ci prepare >> "$GITHUB_STEP_SUMMARY"', voice=voice)
    project, name, options = _project(parser, arguments, packages=True)
    if name != "native":
        registry.runtime(name, project).begin(os.environ).end()
        print(f"### Environment of `{name}`\n\nIt was entered.")
        return 0
    from esker.declare.load import environment_name
    from esker.runtimes.native.runtime import prepare as prepared
    from esker.settings import Settings
    from esker.ship.ci.cached import summary as told
    from esker.store.store import Store

    settings = Settings(os.environ, without_packages=options.without_packages)
    store = Store(settings.store_root)
    before = store.paths() if os.path.isdir(settings.store_root) else []
    if options.without_packages:
        from esker.declare.load import load
        from esker.lock.resolve import current_lock

        current_lock(load(project), settings)  # `locked` would want the packages locked too
    prepared(project, settings, locked=not options.without_packages, progress=voice.progress())
    print(told(environment_name(project), before, store.paths()), end="")
    return 0


def export(arguments: list[str], voice: Voice) -> int:
    """Run `ci export`."""
    summary = (
        "Activate the environment, and write what it changes into GITHUB_ENV and GITHUB_PATH, by which a step gives "
        "variables to the later steps of its job."
    )
    parser = Parser("ci export", summary, "  esker ci export -d examples/items", voice=voice)
    project, name, options = _project(parser, arguments, packages=True)
    from esker.environment import Environment
    from esker.ship.ci.export import exported

    named = [os.environ.get(name) for name in ("GITHUB_ENV", "GITHUB_PATH")]
    if not all(named):
        raise UsageError("GITHUB_ENV and GITHUB_PATH are not set", hint='elsewhere: eval "$(esker activate)"')
    environment = Environment(project, runtime=name, without_packages=options.without_packages)
    changes = exported(dict(os.environ), environment.variables())
    for path, text in zip(named, (changes.env, changes.path), strict=True):
        with open(str(path), "a", encoding="utf-8", newline="") as file:
            file.write(text)
    if changes.left_out:
        voice.say(f"! Left out, because no step can set it: {', '.join(changes.left_out)}")
    return 0


def forward(arguments: list[str], voice: Voice) -> int:
    """Run `ci forward`."""
    from esker.cli.arguments import seconds
    from esker.ship.ci.forward import forward as begin
    from esker.ship.ci.forward import parse

    summary = (
        "Let ports of this machine lead to other hosts, such as the service containers of a GitLab job, until the job "
        "ends. The command returns as soon as each of them accepts a connection."
    )
    parser = Parser("ci forward", summary, "  esker ci forward 5432=postgres:5432", voice=voice)
    parser.add_argument("ports", nargs="+", metavar="PORT=HOST:PORT", help="a port of this machine, and where it leads")
    parser.add_argument("--timeout", type=seconds, default=60.0, metavar="TIME", help="how long to wait (default: 60s)")
    options = parser.parse_args(arguments)
    begin([parse(word) for word in options.ports], options.timeout)
    return 0


def _project(parser: Parser, arguments: Sequence[str], *, packages: bool = False) -> tuple[str, str, Namespace]:
    """Return the project that a command is for, the name of its runtime, and the options."""
    add_directory(parser)
    if packages:
        help_text = "leave out packages of [install] that are not on this machine"
        parser.add_argument("--without-packages", action="store_true", help=help_text)
    options = parser.parse_args(arguments)
    start, explicit = place(options)
    return *registry.find_project(start, explicit=explicit), options
