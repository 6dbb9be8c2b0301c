"""How a stage says what it is doing, without knowing who listens.

A stage takes a `Progress` and calls it; the command line shows a bar on a terminal and plain lines elsewhere; a library
caller passes nothing and hears nothing.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """A listener: `begin` names a piece of work, `end` closes it; `total` and `advance` count in `unit`s."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """A piece of work begins; it ends the one before it."""

    def advance(self, count: int = 1) -> None:
        """`count` more units of the current piece are done."""

    def end(self) -> None:
        """The current piece of work is done."""


class Silent:
    """A listener that says nothing."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Say nothing."""

    def advance(self, count: int = 1) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
