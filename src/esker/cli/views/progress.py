"""The progress of work that takes a while: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from esker.formats.counted import counted, noun
from esker.formats.printable import printable
from esker.progress import Silent

__all__ = ["Notices", "Terminal", "progress"]

_PATIENCE = 1.0
"""Work that took longer than this, in seconds, gets a line that says how long it took."""


class Terminal:
    """A bar that appears when a piece of work begins and disappears when it ends."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Show `title`, with a bar when `total` is known."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.end()
        columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if total is not None:
            columns += [BarColumn(), MofNCompleteColumn(), TextColumn(unit and noun(total, unit))]
        self._bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(printable(title), total=total)

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def remark(self, text: str) -> None:
        """Print `text` in place of the bar."""
        self.end()
        _print_remark(text)

    def notice(self, text: str) -> None:
        """Print `text` in place of the bar."""
        self.end()
        _print(text)

    def finish(self, text: str) -> None:
        """Print `text` in place of the bar."""
        self.end()
        _print_result(text)

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def fail(self) -> None:
        """Remove the bar."""
        self.end()


class Notices(Silent):
    """Nothing but notices."""

    def notice(self, text: str) -> None:
        """Print `text`."""
        _print(text)


class Lines:
    """A line for each piece of work, and another with its duration if that was more than a second."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Print what begins."""
        self.end()
        count = f" ({counted(total, unit)})" if total is not None and unit else ""
        _print(f"{title}{count} …")
        self._since = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Do nothing: a log needs no bar."""

    def remark(self, text: str) -> None:
        """Print `text`."""
        _print_remark(text)

    def notice(self, text: str) -> None:
        """Print `text`."""
        _print(text)

    def finish(self, text: str) -> None:
        """Print how long the work took, if it took long, and then `text`."""
        self.end()
        _print_result(text)

    def end(self) -> None:
        """Print how long the work took, if it took long."""
        if self._since is not None:
            seconds = time.monotonic() - self._since
            if seconds > _PATIENCE:
                print(f"  done in {seconds:.1f} s", file=sys.stderr, flush=True)
            self._since = None

    def fail(self) -> None:
        """Print nothing: what has failed is not done."""
        self._since = None


def _print_remark(text: str) -> None:
    _print(f"! {text}")


def _print_result(text: str) -> None:
    _print(f"✔ {text}")


def _print(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def progress() -> Terminal | Lines:
    """Return a bar if stderr is a terminal, else plain lines."""
    return Terminal() if sys.stderr.isatty() else Lines()
