"""Arguments mean what argparse says, whether argparse is loaded or not; errors are Esker's."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.cli.activate_usage import parser
from esker.cli.arguments import Parser, seconds
from esker.cli.commands import activate, completion
from esker.cli.voice import ESKER, FLOX
from esker.errors import UsageError

WORDS = st.sampled_from(
    [
        "-d",
        "--dir",
        "--dir=x",
        "--dir=",
        "--dir=-x",
        "-m",
        "--mode",
        "--mode=run",
        "--mode=x",
        "dev",
        "-s",
        "--start-services",
        "--json",
        "--json=1",
        "-sd",
        "-dx",
        "-r",
        "--ref",
        "-D",
        "--add-sbin",
        "-c",
        "--command=x",
        "-g",
        "-g=1",
        "--generation=2",
        "--di",
        "-",
        "5",
        "x",
        "--unknown",
        "-z",
    ]
)


def outcome(function):
    """Return the result of reading arguments: the values, or the message of the error."""
    try:
        return function()
    except UsageError as error:
        return error.message


@given(st.lists(WORDS, max_size=5))
def test_reading_activate_without_argparse_changes_nothing(words):
    """For any sequence of words the result or the error is argparse's own."""

    def parsed():
        return vars(parser(activate._OPTIONS, words, None, ESKER).parse_args(words))

    assert outcome(lambda: vars(activate._options(words, ESKER))) == outcome(parsed)


def test_a_usual_command_line_of_activate_needs_no_argparse(monkeypatch):
    """Options in their usual form are read without argparse."""
    monkeypatch.setitem(sys.modules, "esker.cli.arguments", None)
    options = activate._options(["-d", "x", "--mode=run", "-s", "--ref", "o/n"], ESKER)
    assert (options.dir, options.mode, options.start_services, options.reference) == ("x", "run", True, "o/n")
    assert (options.command, options.json) == (None, False)


def test_an_error_is_a_usage_error_that_names_the_help():
    """A usage error has argparse's message, and names the command as the voice calls it."""
    with pytest.raises(UsageError) as caught:
        Parser("test", "Test.", voice=FLOX).parse_args(["x"])
    assert (caught.value.message, caught.value.hint) == ("unrecognized arguments: x", "see: flox test --help")


def test_words_that_nothing_takes_may_have_a_hint_of_their_own():
    """The hint for unexpected words ends with them, but not if they are mistyped options."""
    parser = Parser("test", "Test.", voice=FLOX, stray="name it: esker test -d")
    with pytest.raises(UsageError) as caught:
        parser.parse_args(["x", "y"])
    assert caught.value.hint == "name it: flox test -d x y"
    with pytest.raises(UsageError) as caught:
        parser.parse_args(["--x"])
    assert caught.value.hint == "see: flox test --help"


def test_examples_are_in_the_words_of_the_voice():
    """Examples call the command by the name under which it was called."""
    assert Parser("test", "Test.", "  esker test", voice=FLOX).format_help().endswith("examples:\n  flox test\n")


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("0.5", 0.5), ("3s", 3), ("500ms", 0.5), ("1m30s", 90), ("0", 0), ("1e2", 100)]
)
def test_a_time_has_units_or_is_in_seconds(text, number):
    """Compose's notation, and a plain number of seconds."""
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["3x", "", "s", "-1", "nan", "inf", "3 s", "1e999"])
def test_what_is_no_time_is_told_with_the_form(text):
    """The message shows how a time is written."""
    with pytest.raises(UsageError, match="is not a time to wait") as caught:
        seconds(text)
    assert "1m30s" in caught.value.hint


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("bsh", "did you mean `bash`?"),
        ("fi", "did you mean `fish`?"),
        ("xonsh", "see: esker completion --help"),
        ("", "see: esker completion --help"),
    ],
)
def test_a_word_that_is_almost_one_of_the_offered(word, hint):
    """The hint of the error names the word that was meant; where none is close it names the help."""
    with pytest.raises(UsageError, match="argument shell: invalid choice: ") as caught:
        completion.run("completion", [word], ESKER)
    assert caught.value.hint == hint
