"""What a listener for progress hears."""

from __future__ import annotations

import pytest

from esker.progress import reporting


class Listener:
    """Records what it hears."""

    def __init__(self):
        self.heard = []

    def begin(self, title, *, total=None, unit=""):
        """A piece of work begins."""
        self.heard.append(title)

    def advance(self, count=1):
        """Units are done."""
        self.heard.append(count)

    def remark(self, text):
        """A person should know something."""
        self.heard.append(text)

    def notice(self, text):
        """Something is as it should be."""
        self.heard.append(text)

    def finish(self, text):
        """The piece of work has succeeded."""
        self.heard.append(text)

    def end(self):
        """The piece of work is done."""
        self.heard.append("end")

    def fail(self):
        """The piece of work has failed."""
        self.heard.append("fail")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_work_that_fails_is_not_done(error):
    """A listener hears that a piece of work has failed before anybody hears of the error."""
    listener = Listener()

    def fail():
        with reporting(listener) as progress:
            progress.begin("counting", total=2)
            progress.advance()
            raise error

    with pytest.raises(error):
        fail()
    assert listener.heard == ["counting", 1, "fail"]


def test_no_listener_is_needed():
    """Without a listener the work is reported to nobody."""
    with reporting(None) as progress:
        progress.begin("counting")
        progress.advance()
