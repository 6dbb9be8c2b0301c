"""Reporting progress: a stage says what it is doing, without knowing who listens.

A stage takes a `Progress` and calls its methods. The command line passes one that shows a bar on a terminal and plain
lines elsewhere. A caller of the library may pass none, and then nothing is reported.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Progress", "Silent", "reporting"]


class Progress(Protocol):
    """A listener for progress: `begin` and `end` enclose a piece of work, and `advance` counts its units."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """A piece of work begins, and the previous one ends; it has `total` units, if that is known, each a `unit`."""

    def advance(self, count: int = 1) -> None:
        """`count` more units of the current piece of work are done."""

    def remark(self, text: str) -> None:
        """Something came up that does not stop the work, but that a person should know."""

    def notice(self, text: str) -> None:
        """Something is as it should be, but a person may not expect it; `text` begins with a sign of its own."""

    def finish(self, text: str) -> None:
        """The current piece of work has succeeded, and `text` is what it came to."""

    def end(self) -> None:
        """The current piece of work is done; there may be none."""

    def fail(self) -> None:
        """The current piece of work, if there is one, has failed; an error will tell of it."""


class Silent:
    """A listener that ignores everything."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Do nothing."""

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def remark(self, text: str) -> None:
        """Do nothing."""

    def notice(self, text: str) -> None:
        """Do nothing."""

    def finish(self, text: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def fail(self) -> None:
        """Do nothing."""


@contextmanager
def reporting(progress: Progress | None) -> Iterator[Progress]:
    """Give the listener, or one that ignores everything; at the end of the context its last piece of work ends.

    After an error it has failed: a bar that stayed would stand between the error's message and the prompt.
    """
    listener = progress or Silent()
    try:
        yield listener
    except BaseException:
        listener.fail()
        raise
    listener.end()
