"""`esker include`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, run_group
from esker.cli.manifest import checked_manifest, tell_change, tell_services
from esker.cli.selection import selected_project

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "add": "include an environment of a git repository, of which a copy is kept here",
    "upgrade": "take the changes of included environments",
}
_SHORT = 12
"""Characters of a commit that people read."""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `include COMMAND`."""
    offered = {"upgrade": COMMANDS["upgrade"]} if not voice.remarks else COMMANDS
    functions = {"add": _add, "upgrade": _upgrade}
    functions = {word: functions[word] for word in offered} | {"update": _upgrade}
    return run_group(name, arguments, voice, offered, functions)


def _add(arguments: list[str], voice: Voice) -> int:
    from esker.runtimes.native.includes import add
    from esker.settings import Settings

    examples = (
        "  esker include add https://git.example/team/base.git@v1\n"
        "  esker include add git@git.example:team/tools.git@main#python    the environment in a directory of it\n"
        "  esker include add ../base --name team-base"
    )
    summary = (
        "Include an environment of a git repository. A copy of it is kept in .flox/include/NAME, and beside it, in "
        "NAME.toml, where it came from."
    )
    parser = Parser("include add", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("address", metavar="URL@REV", help="the repository and its branch, tag or commit")
    parser.add_argument("--name", help="what to call it here (default: its own name)")
    options = parser.parse_args(arguments)
    project = selected_project(options, os.environ)
    manifest = checked_manifest(project, voice)
    added = add(
        project,
        manifest,
        options.address,
        Settings(os.environ),
        name=options.name,
        cwd=os.getcwd(),
        progress=voice.progress(),
    )
    tell_services(project, added.change, voice, "install")
    tell_change(added.change.packages(), project, voice, json=False, effect="install")
    voice.say(f"✔ '{added.name}' is included, at commit {added.commit[:_SHORT]} (.flox/include/{added.name})")
    return 0


def _upgrade(arguments: list[str], voice: Voice) -> int:
    from esker.declare.load import environment_name
    from esker.runtimes.native.includes import upgrade
    from esker.settings import Settings

    examples = "  esker include upgrade\n  esker include upgrade base"
    summary = (
        "Merge included environments as they are locked now; copies from git repositories are fetched again first, and "
        "lose what was changed in them here."
    )
    parser = Parser("include upgrade", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("name", nargs="*", metavar="NAME", help="an included environment (default: all of them)")
    options = parser.parse_args(arguments)
    project = selected_project(options, os.environ)
    manifest = checked_manifest(project, voice)
    made = upgrade(project, manifest, options.name, Settings(os.environ), progress=voice.progress())
    for name in made.unread:
        voice.remark(f"! '{name}' is on FloxHub, which Esker cannot read: it stays as it is")
    for place in made.put_back:
        voice.say(f"! {place} was changed here; it is as in its repository again")
    tell_services(project, made.change, voice, "install")
    tell_change(made.change.packages(), project, voice, json=False, effect="install")
    if made.names:
        lines = [f"✔ Upgraded '{environment_name(project)}' with latest changes to:"]
        voice.say("\n".join([*lines, *(f"- '{name}'" for name in made.names)]))
    elif not options.name:
        voice.say("ℹ No included environments have changes.")
    for name in options.name:
        if name not in made.names:
            voice.say(f"ℹ Included environment '{name}' has no changes.")
    return 0
