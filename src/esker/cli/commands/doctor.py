"""`esker doctor`."""

from __future__ import annotations

import os

from esker.cli import directory
from esker.cli.arguments import Parser
from esker.cli.views.output import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from esker.cli.voice import Voice

__all__ = ["run"]

_MARKS = {"ok": "✔", "absent": "-", "missing": "✘"}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Print each finding with its fix; return 1 if something that Esker needs is missing."""
    from esker.runtimes.survey import survey, survey_project
    from esker.settings import Settings

    parser = Parser(
        name,
        "Check this machine, and the project here if there is one; say how to fix what is missing.",
        "  esker doctor\n  esker doctor -d DIR --runtime nix\n  esker doctor --json",
        voice=voice,
    )
    parser.add_options(directory.OPTIONS)
    parser.add_options([directory.RUNTIME])
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    settings, project = Settings(os.environ), _project(options)
    findings = [] if project is None else survey_project(project, settings, options.runtime)
    told = {finding.name for finding in findings}
    findings += [each for each in survey(settings, os.environ.get("PATH")) if each.name not in told]
    if options.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        for finding in findings:
            print(shown(f"{_MARKS[finding.state]} {finding.name:<12} {finding.detail}"))
            if finding.mend:
                print(shown(f"{'':>15}{finding.mend}"))
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def _project(options: Namespace) -> str | None:
    """Return the project that is named, or that is here; None if there is none here."""
    from esker.errors import NotFound
    from esker.runtimes.registry import find_project

    start, explicit = directory.place(options)
    try:
        return find_project(start, explicit=explicit, runtime=options.runtime)[0]
    except NotFound:
        if explicit or options.runtime is not None:
            raise
        return None
