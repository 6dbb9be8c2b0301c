"""Syntax errors of a manifest: the line where the mistake was made, and what to do about it."""

from __future__ import annotations

import time

import pytest

from esker.declare.validate import read_text
from esker.errors import InvalidManifest

# (the manifest after its first line, the line of the problem, the last line of its message, a part of the hint)
TEXTS = {
    "a text of several lines in single quotes": (
        "[hook]\non-activate = 'echo a\necho b\n'\n",
        3,
        "Found invalid character '\\n'",
        "a text of several lines stands between `'''` and `'''`",
    ),
    "a text of several lines in double quotes": (
        '[hook]\non-activate = "echo a\necho b\n"\n',
        3,
        "Illegal character '\\n'",
        'a text of several lines stands between `"""` and `"""`',
    ),
    "a quote of the other kind before it": (
        "a = [\"it's\", 'b\n']\n",
        2,
        "Found invalid character '\\n'",
        "close the text with `'`",
    ),
    "a list before a table": ("oops = [\n\n[vars]\nA = '1'\n", 2, "Unclosed array", "close it with `]`"),
    "a list before a key": (
        "[options]\nsystems = [\n  'a', # ]\n  'b'\nB = 1\n",
        3,
        "Unclosed array",
        "close it with `]`",
    ),
    "a list at the end": ("oops = [\n  'a',\n", 2, "Unclosed array", "close it with `]`"),
    "a list of one line": ("oops = ['a'\n[a.'b']\n", 2, "Unclosed array", "close it with `]`"),
    "a bracket in a text": ("oops = [']', \"]\", [1],\nB = 1\n", 2, "Unclosed array", "close it with `]`"),
    "a text of several lines without an end": (
        "a = '''\nb\n[vars]\n",
        2,
        "Expected \"'''\"",
        "close the text with `'''`",
    ),
    "the same in double quotes": ('a = """\nb\n[vars]\n', 2, "Unterminated string", 'close the text with `"""`'),
    "a table that goes on": ("a = { b = 1\nc = 2 }\n", 2, "Unclosed inline table", "in the line in which it begins"),
    # What is closed is not blamed: the mistake is an element.
    "an element without quotes": ("a = [\n  'b',\n  c\n]\n", 4, "Invalid value", "write strings in quotes"),
    "a comma that is missing": ("a = [\n  'b=1'\n  'c=2'\n]\n", 4, "Unclosed array", "put a comma between"),
    "a list in a list": ("a = [\n  ['b']\n  ['c']\n]\n", 4, "Unclosed array", "put a comma between"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_syntax_error_is_shown_where_it_was_made(case):
    """A list or a text that is not closed is shown where it begins; the hint says how to write it."""
    text, line, cause, hint = TEXTS[case]
    with pytest.raises(InvalidManifest) as caught:
        read_text('schema-version = "1.14.0"\n' + text)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert f"TOML parse error at line {line}, " in problem.message
    assert problem.message.splitlines()[-1] == cause
    assert hint in problem.hint


@pytest.mark.parametrize("table", ["hook", "plugins.esker", "plugins.esker.python", "services.web", "options.activate"])
def test_a_list_of_tables_in_place_of_a_table_is_told_with_the_brackets_to_write(table):
    """`[[a]]` where `[a]` belongs is an error that says so, also where Esker's own table is one."""
    with pytest.raises(InvalidManifest) as caught:
        read_text(f'schema-version = "1.14.0"\n[[{table}]]\n')
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (2, f"invalid type: array, expected a table\nin `{table}`")
    assert problem.hint == f"write `[{table}]` with single brackets, once: it is a table, not a list of tables"


def test_a_table_of_esker_that_is_none_is_told():
    """`esker = 1` in [plugins] is an error with its line."""
    with pytest.raises(InvalidManifest, match="invalid type: integer `1`, expected a table"):
        read_text('schema-version = "1.14.0"\n[plugins]\nesker = 1\n')


@pytest.mark.parametrize("quote", ["'''", '"""'])
def test_a_long_text_that_is_not_closed_is_told_at_once(quote):
    """Looking for its end takes no exponential time."""
    text = f"a = {quote}" + "some words ' \" and more\n" * 5_000
    begun = time.process_time()
    with pytest.raises(InvalidManifest):
        read_text(text)
    assert time.process_time() - begun < 5
