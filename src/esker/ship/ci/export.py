"""What an activation changes, as the files say it by which a step of GitHub's gives variables to the later steps.

In `GITHUB_ENV` a value stands between two lines with a delimiter, `NAME<<DELIMITER`; in `GITHUB_PATH` each line is a
directory that comes first on PATH, before the lines above it. Delimiters are random, so that no value can end itself
and set another variable. (GitHub: "Workflow commands", environment files.)
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Exported", "exported"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_SHELL = frozenset({"_", "OLDPWD", "PWD", "SHLVL"})
_OF_THE_RUNNER = ("GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_")
_REFUSED = frozenset({"CI", "NODE_OPTIONS"})
"""Variables that the runner sets, or does not take from a step."""


class Exported(NamedTuple):
    """What to append to the two files."""

    env: str
    path: str
    left_out: tuple[str, ...]
    """The names of variables that the runner would not take."""


def exported(
    before: Mapping[str, str], inside: Mapping[str, str], delimiter: Callable[[], str] = lambda: secrets.token_hex(16)
) -> Exported:
    """Return what makes the variables `before` those `inside`. A variable that is gone becomes empty.

    For PATH it is what has to come first. What is gone from it stays behind that.
    """
    changed = {name: value for name, value in inside.items() if before.get(name) != value and name != "PATH"}
    changed |= dict.fromkeys(before.keys() - inside.keys() - {"PATH"}, "")
    env, left_out = [], []
    for name in sorted(changed.keys() - _OF_THE_SHELL):
        value = changed[name]
        if not _NAME.fullmatch(name) or name.startswith(_OF_THE_RUNNER) or name in _REFUSED or not _is_text(value):
            left_out.append(name)
            continue
        end = delimiter()
        while end in value:
            end = delimiter()
        env.append(f"{name}<<{end}\n{value}\n{end}\n")
    first = _first(before.get("PATH", ""), inside.get("PATH", ""))
    lines = [
        directory for directory in first if directory and _is_text(directory) and not re.search(r"[\r\n]", directory)
    ]
    return Exported("".join(env), "".join(f"{each}\n" for each in reversed(lines)), tuple(left_out))


def _first(before: str, inside: str) -> list[str]:
    """Return the fewest directories that have to come first on PATH; a second time a directory means nothing there."""
    old, new = before.split(":"), inside.split(":")
    wanted = list(dict.fromkeys(new))

    def comes_first(count: int) -> bool:
        return [*dict.fromkeys(new[:count] + old)][: len(wanted)] == wanted

    return next(new[:count] for count in range(len(new) + 1) if comes_first(count))


def _is_text(value: str) -> bool:
    """Return whether a value is text, in which only line feeds end a line."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\r" not in value
