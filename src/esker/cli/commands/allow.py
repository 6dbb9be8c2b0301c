"""`esker allow` and `esker deny`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.settings import Settings

__all__ = ["run"]

_SUMMARIES = {
    "allow": "Let the prompt activate a project, with the content that it has now.",
    "deny": "Let the prompt leave a project alone, whatever its content.",
}
_EXAMPLES = {
    "allow": "  esker allow\n  esker allow ~/src/api",
    "deny": "  esker deny\n  esker deny ~/src/api",
}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare import consent
    from esker.declare.discover import find
    from esker.declare.load import environment_name, load
    from esker.settings import Settings

    parser = Parser(name, _SUMMARIES[name], _EXAMPLES[name], voice=voice)
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the project directory (default: as activate does)")
    parser.add_argument("-d", "--dir", metavar="DIR", help="the same, as Flox writes it")
    options = parser.parse_args(arguments)
    named = options.directory if options.directory is not None else options.dir
    project, settings = find(os.curdir if named is None else named, explicit=named is not None), Settings(os.environ)
    if name == "deny":
        consent.deny(project, settings)
    else:
        load(project)  # what cannot be read cannot be activated, and will be another content when it is mended
        consent.allow(project, consent.content(project), settings)
        _forget_plans_of_others(project, settings)
    if not voice.remarks:
        from esker.cli.flox_dialect import auto_activation

        voice.say(auto_activation(name, environment_name(project)))
    elif name == "deny":
        voice.say(f"✔ The prompt leaves `{project}` alone.")
    else:
        voice.say(f"✔ The prompt may activate `{project}`, until its content changes.")
    return 0


def _forget_plans_of_others(project: str, settings: Settings) -> None:
    """Remove plans without the user's seal, which the prompt would never take; the next activation makes them anew."""
    from esker.activate import plan as plans
    from esker.activate.seal import is_sealed
    from esker.declare import consent, project_directory
    from esker.host import files

    key = consent.seal_key(settings)
    for path in (plans.plan_path(project, mode) for mode in plans.MODES):
        plan = plans.read(path)
        if plan is not None and (key is None or not is_sealed(plan, key)):
            with (
                project_directory.writable(f"{project}/.flox", "cache", "esker") as directory,
                files.refused("remove", path),
            ):
                os.unlink(os.path.basename(path), dir_fd=directory)
