r"""The values of `[vars]`: shell text as between double quotes, except that a double quote in it stands for itself.

This module expands `$NAME`, `${NAME}`, and a `\` before `$`, a backtick, a double quote or another `\`. Only bash can
expand anything else, such as `$(date)`, `${X:-d}`, `$?`, or a `\` that joins two lines. For that, `quoted` writes the
value as bash text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST", "expanded", "needs_bash", "quoted"]

LONGEST = 131_071
"""Bytes of `NAME=value`, which the kernel passes to a program as one string of at most 32 pages (MAX_ARG_STRLEN)."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _LETTERS | frozenset("0123456789")
_PARAMETERS = frozenset("0123456789@*#?-$!([{")


def needs_bash(value: str) -> bool:
    r"""Return whether only bash can expand the value.

    >>> needs_bash("${HOME}/a"), needs_bash("${HOME:-/}"), needs_bash(r"5 $ or \$(x)")
    (False, True, False)
    """
    return _expanded(value, {}) is None


def expanded(value: str, variables: Mapping[str, str]) -> str:
    """Return the expanded value, which must not need bash; a variable that is not set counts as empty.

    Raises OverflowError, before the text is made, for one that is longer than `LONGEST`.
    """
    text = _expanded(value, variables)
    assert text is not None, value
    return text


def _expanded(value: str, variables: Mapping[str, str]) -> str | None:
    """Return the expanded value, or None if it needs bash."""
    if "$" not in value and "\\" not in value and "`" not in value:
        return value
    if "\\\n" in value:
        return None
    parts = []
    index = size = 0
    while index < len(value):
        character, following = value[index], value[index + 1 : index + 2]
        if character == "\\" and following and following in '$`"\\':
            parts.append(following)
            index += 2
        elif character == "`":
            return None
        elif character == "$" and following and (following in _LETTERS or following in _PARAMETERS):
            start = index + (2 if following == "{" else 1)
            end = _name_end(value, start)
            if end == start or (following == "{" and value[end : end + 1] != "}"):
                return None
            parts.append(variables.get(value[start:end], ""))
            size += len(parts[-1])
            if size > LONGEST:
                raise OverflowError
            index = end + (1 if following == "{" else 0)
        else:
            parts.append(character)
            index += 1
    return "".join(parts)


def _name_end(value: str, start: int) -> int:
    end = start
    if value[start : start + 1] in _LETTERS:
        while end < len(value) and value[end] in _NAME:
            end += 1
    return end


def quoted(value: str) -> str:
    r"""Return the value as bash text in double quotes, with its own double quotes escaped.

    Quotes inside a substitution stay as they are, because bash reads them as quotes of the inner command.

    >>> print(quoted('say "$(echo "$USER")"'))
    "say \"$(echo "$USER")\""
    >>> print(quoted("$(pwd)\\"))
    "$(pwd)\\"
    """
    parts = []
    index = 0
    closings = ['"']  # the characters that end the strings and substitutions around this place; the value's own first
    while index < len(value):
        is_inner = len(closings) > 1
        end = _unit_end(value, index, closings, is_inner=is_inner)
        text = value[index:end]
        parts.append(f"\\{text}" if text in {'"', "\\"} and not is_inner else text)  # a `\` alone is at the end
        index = end
    return f'"{"".join(parts)}"'


def _unit_end(value: str, index: int, closings: list[str], *, is_inner: bool) -> int:
    """Return where the character, escape or bracket at `index` ends; `closings` gains or loses what it opens or ends.

    What surrounds a character decides whether it counts as a quote.
    """
    closing, character, pair = closings[-1], value[index], value[index : index + 2]
    code = closing in {")", "`"}
    if is_inner and character == closing:
        closings.pop()
    elif closing == "'":
        pass
    elif character == "\\":
        return index + 2
    elif pair in {"$(", "${"}:
        closings.append(")" if pair == "$(" else "}")
        return index + 2
    elif character == "`" or (character == '"' and closing != '"') or (character == "'" and code):
        closings.append(character)
    elif character == "(" and closing == ")":
        closings.append(")")
    return index + 1
