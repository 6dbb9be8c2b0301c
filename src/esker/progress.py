"""Reporting progress: a stage says what it is doing, without knowing who listens.

A stage takes a `Progress` and calls its methods. The command line passes one that shows a bar on a terminal and plain
lines elsewhere. A caller of the library may pass none, and then nothing is reported.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """A listener for progress: `begin` starts a piece of work, `advance` counts its units, `end` completes it."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """A piece of work begins, and the previous one ends; it consists of `total` units, if that is known."""

    def advance(self, count: int = 1) -> None:
        """`count` more units of the current piece of work are done."""

    def end(self) -> None:
        """The current piece of work is done."""


class Silent:
    """A listener that ignores everything."""

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Do nothing."""

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""
