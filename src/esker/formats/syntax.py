"""Explains a syntax error of a TOML file: where it is, as Flox shows it, and what a person probably meant."""

from __future__ import annotations

import re
from typing import Any

from esker.errors import InvalidFile, Problem
from esker.formats.printable import printable
from esker.formats.untrusted import toml_table

__all__ = ["read_toml", "syntax_problem"]

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)"""
    # A character is matched in one way alone, so nothing takes exponential time. Possessive quantifiers would do that
    # too, but Python before 3.11.5 matches nothing with them.
    r'''|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}'''
    r"""|'''[^']*(?:'(?!'')[^']*)*'{3,5}"""
    r'''|(?P<unclosed>"""|\'\'\')'''
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
    r"""|(?P<open>[\[{])|(?P<close>[\]}])""",
    re.DOTALL,
)
_KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_BEGINNING = re.compile(
    rf"\s*(?:\[{{1,2}}\s*(?!(?:true|false|inf|nan)\b)(?=[A-Za-z_]){_KEYS}\s*\]{{1,2}}\s*(?:#.*)?$|{_KEYS}\s*=)"
)
"""A line that begins a table or gives a key: no such line can stand in a list."""
_GENERAL = "correct the syntax: write strings in quotes and table names in [brackets]"


def read_toml(text: str, path: str) -> dict[str, Any]:
    """Return the values of the TOML file at `path`; raises InvalidFile with its syntax error."""
    import tomllib

    try:
        return toml_table(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(path, [syntax_problem(str(error), text)]) from None
    except ValueError as error:
        raise InvalidFile(path, [Problem(f"not TOML: {error}")]) from error


def syntax_problem(error: str, text: str) -> Problem:
    """Return a syntax error that shows its line, with a caret below the column; `error` is tomllib's message.

    A list or a text of several lines that is not closed is shown where it begins: the parser only finds out later.
    """
    place = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", error, re.DOTALL)
    cause, line, column = (place[1], place[2], place[3]) if place else (error, None, None)
    lines = text.split("\n")
    number, offset = (int(line), int(column)) if line and column else (len(lines), len(lines[-1]) + 1)
    hint = _hint(cause, lines[number - 1], offset)
    opening = _opening(text, lines, number, offset)
    if opening is not None:
        word, at = opening
        number, offset = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        cause, hint = (
            ("Unclosed array", "close it with `]`") if word == "[" else (cause, f"close the text with `{word}`")
        )
    shown = lines[number - 1].rstrip().replace("\t", " ")  # so that the caret stands below its column
    margin = " " * len(str(number))
    message = (
        f"TOML parse error at line {number}, column {offset}\n{margin} |\n{number} | {printable(shown)}\n"
        f"{margin} | {' ' * (offset - 1)}^\n{cause}"
    )
    return Problem(message, line=number, hint=hint)


def _hint(cause: str, line: str, offset: int) -> str:
    """Return what to do about an error at a column of a line."""
    if cause.startswith("Cannot "):  # declare, overwrite, redefine
        return "this is defined above already: put the two together"
    if cause.endswith("character '\\n'"):  # a text that goes on in the next line
        quote = _open_quote(line[: offset - 1])
        if quote is not None:
            return (
                f"close the text with `{quote}`; a text of several lines stands between `{quote * 3}` and `{quote * 3}`"
            )
    if cause == "Unclosed inline table":
        return "close the table with `}` in the line in which it begins, and put a comma between its keys"
    if cause == "Unclosed array":
        return "put a comma between the elements of a list, and close it with `]`"
    return _GENERAL


def _open_quote(line: str) -> str | None:
    """Return the quote that opens a text which the line does not close."""
    rest = _TOKEN.sub(lambda token: token[0] if token["unclosed"] else "", line)
    opened = re.search("[\"']", rest)
    return opened[0] if opened else None


def _opening(text: str, lines: list[str], number: int, column: int) -> tuple[str, int] | None:
    """Return what is certainly not closed before an error at a line and column: its sign, and its offset in the text.

    It is certain for a list if the text ends in it, or if the line of the error can only stand outside of a list.
    """
    end = sum(len(line) + 1 for line in lines[: number - 1]) + column - 1
    is_end = not text[end:].strip()
    opened: list[int] = []
    for token in _TOKEN.finditer(text):
        if token.start() >= end:
            break
        if token["unclosed"]:  # from here on, everything is text
            return token["unclosed"], token.start()
        if token["open"]:
            opened.append(token.start())
        elif token["close"] and opened:
            opened.pop()
    if not opened or text[opened[0]] != "[":
        return None
    is_earlier = text.count("\n", 0, opened[0]) + 1 < number
    return ("[", opened[0]) if is_end or (is_earlier and _BEGINNING.match(lines[number - 1])) else None
