"""Every command line means what argparse says it means, whether argparse is asked or not."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.cli import explained
from esker.cli.arguments import HIDDEN, Parser
from esker.errors import UsageError


def parser():
    """Return a parser with an argument of every kind that the commands have."""
    made = Parser("test", "Test.", "  esker test")
    made.add_argument("-d", "--dir", metavar="DIR")
    made.add_argument("-n", "--count", type=int, default=3)
    made.add_argument("-q", "--quiet", action="store_true")
    made.add_argument("-r", "--reference", "--ref", help=HIDDEN)
    made.add_argument("--for", dest="until", choices=("a", "b"), default="a")
    made.add_argument("-i", "--id", nargs=2)
    made.add_argument("name", nargs="*")
    return made


WORDS = st.sampled_from(
    [
        "-d",
        "--dir",
        "--dir=x",
        "-n",
        "--count",
        "--count=7",
        "--count=x",
        "-q",
        "--quiet",
        "--quiet=1",
        "-qd",
        "-dx",
        "-r",
        "--ref",
        "--for",
        "--for=b",
        "--for=c",
        "-i",
        "--id",
        "--di",
        "-",
        "--",
        "5",
        "x",
        "y",
        "--unknown",
        "-z",
    ]
)


def outcome(function):
    """Return what a reading gives: values, or the message of its error."""
    try:
        return function()
    except UsageError as error:
        return error.message


@given(st.lists(WORDS, max_size=5))
def test_reading_without_argparse_changes_nothing(words):
    """For any sequence of words the result, or the error, is argparse's own."""
    made = parser()
    assert outcome(lambda: vars(made.parse_args(words))) == outcome(lambda: explained.read(made, words))


def test_a_usual_command_line_needs_no_argparse(monkeypatch):
    """Options that are written as the table says are read without it."""
    monkeypatch.setitem(sys.modules, "esker.cli.explained", None)
    options = parser().parse_args(["-d", "x", "--count=7", "-q", "--ref", "o/n"])
    assert (options.dir, options.count, options.quiet, options.reference, options.name) == ("x", 7, True, "o/n", [])


def test_exclusive_options_exclude_each_other():
    """Of the options that were added so, one may be given."""
    made = Parser("test", "Test.")
    made.add_exclusive("-a", action="store_true")
    made.add_exclusive("-b", action="store_true")
    assert made.parse_args(["-a"]).a
    with pytest.raises(UsageError, match="not allowed with"):
        made.parse_args(["-a", "-b"])


def test_an_option_that_is_not_there_is_no_attribute():
    """A slip of the pen in a command is an error."""
    with pytest.raises(AttributeError, match="`absent`"):
        _ = parser().parse_args([]).absent
