"""What a KeyboardInterrupt looks like that leaves one of our calls."""

from __future__ import annotations

import contextlib
import signal
import traceback

import pytest

from esker.host.interruption import plain


@plain
def call(work):
    """Do some work while an error is being handled."""
    try:
        return {}["ours"]
    except LookupError:
        return work()


def _interrupt():
    raise KeyboardInterrupt


def names(error):
    """Return the names of the functions in a traceback."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_errors_of_ours_do_not_come_along():
    """What we were handling is no concern of the caller's."""
    with pytest.raises(KeyboardInterrupt) as caught:
        call(_interrupt)
    assert caught.value.__context__ is None


def test_what_the_caller_was_handling_stays():
    """It is theirs, and it is shown."""

    def program():
        try:
            int("theirs")
        except ValueError:
            call(_interrupt)

    with pytest.raises(KeyboardInterrupt) as caught:
        program()
    assert isinstance(caught.value.__context__, ValueError)
    assert not caught.value.__suppress_context__


def test_frames_of_the_caller_stay():
    """A function that they have passed in is where they want to be led to."""
    with pytest.raises(KeyboardInterrupt) as caught:
        call(_interrupt)
    assert names(caught.value)[1:] == ["call", "call", "_interrupt"]


def test_frames_of_ours_and_of_python_s_library_go():
    """Only the call itself stays."""
    stack = contextlib.ExitStack()
    stack.callback(signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        plain(stack.close)()
    assert names(caught.value)[1:] == ["call"]


def test_a_second_interruption_shows_no_first():
    """A person who presses Ctrl-C again, while what was begun is being undone, is not shown both."""

    def work():
        try:
            _interrupt()
        finally:
            _interrupt()

    with pytest.raises(KeyboardInterrupt) as caught:
        call(work)
    assert caught.value.__context__ is None


def test_another_error_leaves_as_it_is():
    """With what was being handled, which may help to understand it."""
    with pytest.raises(ZeroDivisionError) as caught:
        call(lambda: 1 / 0)
    assert isinstance(caught.value.__context__, LookupError)
