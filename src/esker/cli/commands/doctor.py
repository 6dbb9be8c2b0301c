"""`esker doctor`."""

from __future__ import annotations

import os

from esker.cli import directory
from esker.cli.arguments import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_MARKS = {"ok": "✔", "absent": "-", "missing": "✘"}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Print each finding with its fix; return 1 if something that Esker needs is missing."""
    from esker.cli.selection import selected_project
    from esker.runtimes.survey import survey, survey_project
    from esker.settings import Settings

    parser = Parser(
        name,
        "Check this machine for what Esker needs, and say how to fix what is missing; with -d, check a project too.",
        "  esker doctor --json",
        voice=voice,
    )
    parser.add_options(directory.OPTIONS)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    explicit = directory.place(options)[1]
    findings = [survey_project(selected_project(options, os.environ), os.environ.get("PATH"))] if explicit else []
    findings += survey(Settings(os.environ), os.environ.get("PATH"))
    if options.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]} {finding.name:<12} {finding.detail}")
            if finding.mend:
                print(f"{'':>15}{finding.mend}")
    return 1 if any(finding.state == "missing" for finding in findings) else 0
