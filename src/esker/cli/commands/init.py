"""`esker init`."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_INSTEAD = "packages are kept in the manifest instead"


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.discover import resolved
    from esker.declare.known_environments import remember
    from esker.declare.template import create
    from esker.settings import Settings

    examples = "  esker init\n  esker init -d backend -n api"
    summary = "Create an environment: a commented manifest for you to fill in."
    parser = Parser(name, summary, examples, voice=voice, stray="name the directory: esker init -d")
    add_directory(parser)
    parser.add_argument("-n", "--name", help="the environment's name (default: the directory's)")
    parser.add_argument("-b", "--bare", action="store_true", help="write a manifest without comments and examples")
    parser.add_argument("--no-auto-setup", action="store_true", help=SUPPRESS)
    parser.add_argument("--auto-setup", action="store_true", help=SUPPRESS)
    options = parser.parse_args(arguments)
    if options.auto_setup:
        raise UsageError("`--auto-setup` is not implemented yet", hint="leave it out, then add what the project needs")
    directory = resolved(place(options)[0])
    groups, reason = _groups(directory) if voice.remarks else (None, None)  # Flox asks before it looks at such files
    home = os.environ.get("HOME")
    environment = create(directory, options.name, bare=options.bare, home=home, groups=groups)
    settings = Settings(os.environ)
    remember(directory, settings)
    if voice.remarks:  # Flox leaves the project's own files alone
        _ignore_handles(directory, voice)
    voice.say(f"⚡︎ Created environment '{environment}' ({settings.system})")
    if groups is not None:
        installed = f", with its group `{groups[0]}`" if groups else ""
        voice.say(f"✔ Its Python packages are those of pyproject.toml{installed}")
    if reason is not None:
        voice.say(f"! {reason}")
    voice.say(f"\nNext:\n  $ {voice.program} install pypi/NAME    <- Add a package")
    voice.say(f"  $ {voice.program} edit                 <- Add variables, scripts and services")
    voice.say(f"  $ {voice.program} activate             <- Enter the environment")
    return 0


def _groups(directory: str) -> tuple[list[str] | None, str | None]:
    """Return the dependency groups to install of the project's pyproject.toml: `dev`, where it is as uv has it.

    None means that there is no project whose dependencies Esker could read; then the second value says why, if there is
    such a file at all.
    """
    from tomllib import TOMLDecodeError

    from esker.errors import EskerError
    from esker.formats.syntax import syntax_problem
    from esker.formats.untrusted import toml_table
    from esker.host import files

    path = f"{directory}/pyproject.toml"
    if not os.path.lexists(path):
        return None, None
    later = 'to have them there, mend it and write project = "pyproject.toml" into [plugins.esker.python]'
    text = ""
    try:
        text = files.read(path).decode()
        values = toml_table(text)
    except TOMLDecodeError as error:
        problem = syntax_problem(str(error), text)
        return None, f"pyproject.toml:{problem.line}: {problem.message}\n{_INSTEAD}; {later}"
    except (ValueError, EskerError) as error:
        told = error.message if isinstance(error, EskerError) else str(error)
        return None, f"pyproject.toml cannot be read: {told}\n{_INSTEAD}; {later}"
    project, groups = values.get("project"), values.get("dependency-groups")
    if not isinstance(project, dict):
        return None, f"pyproject.toml has no [project] table: {_INSTEAD}"
    if "dependencies" in project.get("dynamic", ()):
        return None, f"only a build backend can tell the dependencies in pyproject.toml (`dynamic`): {_INSTEAD}"
    return (["dev"] if isinstance(groups, dict) and "dev" in groups else []), None


def _ignore_handles(directory: str, voice: Voice) -> None:
    """Keep the file of a saved service handle, which is for this machine, out of the project's git repository."""
    from esker.declare.git_ignore import ignore
    from esker.formats.service_handle import NAME

    try:
        if ignore(directory, NAME):
            voice.say(f"✔ Added `{NAME}` to .gitignore")
    except OSError as error:
        voice.say(f"! Could not add `{NAME}` to .gitignore: {(error.strerror or str(error)).lower()}")
