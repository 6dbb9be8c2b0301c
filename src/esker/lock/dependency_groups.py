"""The dependency groups of a pyproject.toml (PEP 735).

All of them are checked, not only those that the manifest chooses: uv and the build backends refuse a file in which any
group is malformed, and by then the message is about a failed build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from esker.declare import notations
from esker.errors import Problem
from esker.formats.tables.reader import Refusal, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["group_problems", "no_such_name"]

_TABLE = "dependency-groups"
_FORM = 'write a requirement, or { include-group = "NAME" }'


def group_problems(groups: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    """Yield what is wrong in `[dependency-groups]`; `lines` are the lines of the file's keys."""
    names: dict[str, str] = {}
    for name, entries in groups.items():
        first = names.setdefault(canonicalize_name(name), name)
        line = lines.get((_TABLE, name))
        if first != name:
            hint = "put their requirements into one list"
            yield Problem(f"the dependency groups `{first}` and `{name}` have the same name", line=line, hint=hint)
        if not isinstance(entries, list):
            yield Problem(f"dependency group `{name}` is not a list", line=line, hint='write it as in ["pytest>=8"]')
            continue
        for index, entry in enumerate(entries):
            problem = _entry_problem(name, entry, groups, lines.get((_TABLE, name, str(index)), line))
            if problem is not None:
                yield problem
    yield from _cycles(groups, lines)


def no_such_name(kind: str, name: str, names: Mapping[str, Any]) -> Problem:
    """Return the problem that a file has no dependency group, or no extra, of a name."""
    listed = ", ".join(f"`{each}`" for each in names) or "none"
    return Problem(f"there is no {kind} `{name}`", hint=near(name, names) or f"its {kind}s: {listed}")


def _entry_problem(group: str, entry: object, groups: Mapping[str, Any], line: int | None) -> Problem | None:
    if isinstance(entry, str):
        try:
            notations.requirement(entry)
        except Refusal as refusal:
            return Problem(f"dependency group `{group}`: {refusal.message}", line=line, hint=refusal.hint)
        return None
    included = entry.get("include-group") if isinstance(entry, dict) and len(entry) == 1 else None
    if not isinstance(included, str):
        message = f"dependency group `{group}` has an entry that is neither a requirement nor a group"
        return Problem(message, line=line, hint=_FORM)
    if canonicalize_name(included) in map(canonicalize_name, groups):
        return None
    missing = no_such_name("dependency group", included, groups)
    message = f"dependency group `{group}` includes `{included}`, but {missing.message}"
    return Problem(message, line=line, hint=missing.hint)


def _cycles(groups: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    """Yield a problem for each group that includes itself, directly or through others."""
    included = {
        canonicalize_name(name): [
            canonicalize_name(entry["include-group"])
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and isinstance(entry.get("include-group"), str)
        ]
        for name, entries in groups.items()
    }
    for name in groups:
        start = canonicalize_name(name)
        reached, waiting = set(), list(included[start])
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting += included.get(other, [])
        if start in reached:
            message = f"dependency group `{name}` includes itself"
            yield Problem(message, line=lines.get((_TABLE, name)), hint="take one `include-group` out")
