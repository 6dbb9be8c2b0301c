"""A uv workspace: which projects below its root are its members, by the globs of `[tool.uv.workspace]`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["is_member"]


def is_member(path: str, workspace: Mapping[str, Any]) -> bool:
    """Return whether a project at a path relative to the root is a member.

    >>> table = {"members": ["packages/*", "tools/**"], "exclude": ["packages/old"]}
    >>> [is_member(path, table) for path in ("packages/a", "packages/old", "packages/a/b", "tools/x/y", "docs")]
    [True, False, False, True, False]
    """
    parts = path.split("/")

    def matches(key: str) -> bool:
        patterns = workspace.get(key)
        patterns = patterns if isinstance(patterns, list) else []
        return any(_matches(parts, each.removeprefix("./").rstrip("/").split("/")) for each in patterns if type(each) is str)

    return matches("members") and not matches("exclude")


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[index:], patterns[1:]) for index in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])
