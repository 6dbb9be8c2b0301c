"""What a person has chosen on the command line for a workflow, and how the workflow's file remembers it.

The second line of a file has the choices as JSON: `# Options: {"test": ["make test"]}`. So the file can be written
again, and compared, without anybody naming them again. Files come from a checkout: what they say is checked as the
command line is.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NamedTuple, get_args

from esker.declare import notations
from esker.errors import NotEditable
from esker.formats.tables.reader import Refusal
from esker.formats.untrusted import json_value

__all__ = ["TOOLS", "Choices", "Tool", "line", "recorded"]

Tool = Literal["esker", "flox", "nix", "guix"]
"""What enters the environment in the job."""
TOOLS: tuple[Tool, ...] = get_args(Tool)

_LINE = re.compile(r"# Options: (?P<json>\{.*\})")
_NUMBER = 2
"""The number of the line."""


class Choices(NamedTuple):
    """Choices; each is empty where nobody has chosen."""

    test: tuple[str, ...] = ()
    """Shell commands."""
    through: Tool | None = None
    """What enters the environment."""
    action: str = ""
    """Where GitHub finds Esker's action."""
    image: str = ""
    """The image of GitLab's job."""
    without_packages: bool = False
    """Whether packages of `[install]` are left out, because the machine of the job has what the tests need."""

    def over(self, other: Choices) -> Choices:
        """Return these choices, and those of `other` where there is none here."""
        return other._replace(**{name: value for name, value in self._asdict().items() if value})

    def without(self, other: Choices) -> Choices:
        """Return these choices where `other` has none."""
        return self._replace(**{name: _NONE[name] for name, value in other._asdict().items() if value})


_NONE = Choices()._asdict()


def line(choices: Choices) -> list[str]:
    """Return the line that remembers choices, or no line where nothing was chosen."""
    chosen = {name.replace("_", "-"): value for name, value in choices._asdict().items() if value}
    return [f"# Options: {json.dumps(chosen)}"] if chosen else []


def recorded(text: str, path: str) -> Choices:
    """Return the choices that a file of Esker's remembers; raises NotEditable if its line says something else."""
    match = _LINE.fullmatch((text.splitlines()[1:_NUMBER] or [""])[0])
    if match is None:
        return Choices()
    try:
        return _parsed(json_value(match["json"]))
    except (Refusal, ValueError, TypeError) as error:
        reason = error.message if isinstance(error, Refusal) else "it is not what Esker writes there"
        raise NotEditable(
            f"the line with the options cannot be used: {reason}",
            hint="remove the line, name the options again, and write over the file with --force",
            place=f"{path}:{_NUMBER}",
        ) from error


def _parsed(value: Any) -> Choices:
    """Return the choices in a JSON value; raises Refusal, ValueError or TypeError."""
    known = {"test", "through", "action", "image", "without-packages"}
    if not isinstance(value, dict) or not value.keys() <= known:
        raise ValueError(value)
    if value.get("through", TOOLS[0]) not in TOOLS or value.get("without-packages", True) is not True:
        raise ValueError(value)
    return Choices(
        notations.command_lines(value["test"]) if "test" in value else (),
        value.get("through"),
        notations.action(value["action"]) if "action" in value else "",
        notations.image_of_job(value["image"]) if "image" in value else "",
        "without-packages" in value,
    )
