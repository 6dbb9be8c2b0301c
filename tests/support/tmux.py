"""Terminals for tests as people see them: tmux shows the screens of shells, and passes on what is typed."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from esker.host import pidfd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Terminal", "Tmux"]

COLUMNS, ROWS = 200, 80
_PATIENCE = 20
"""Seconds, for a machine with much other work."""


class Tmux:
    """A tmux server of its own; when the block ends, it and all that runs in its panes has ended."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._directory = tempfile.TemporaryDirectory(dir="/tmp")  # sockets need short paths
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._begun:
                self._end()
        finally:
            self._directory.cleanup()

    def terminal(self, shell: Sequence[str], directory: Path) -> Terminal:
        """Open a shell in a new pane, beside the panes there are."""
        opened = ["split-window"] if self._begun else ["new-session", "-d", "-x", f"{COLUMNS}", "-y", f"{ROWS}"]
        pane = self.run(*opened, "-P", "-F", "#{pane_id}", "-c", str(directory), *shell).strip()
        self._begun = True
        return Terminal(self, pane)

    def run(self, *words: str) -> str:
        """Run a command of tmux, and return what it prints."""
        arguments = ["tmux", "-f", "/dev/null", "-S", str(Path(self._directory.name, "tmux")), *words]
        return subprocess.run(arguments, env=self._environ, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _end(self) -> None:
        pids = {int(pid) for pid in self.run("list-panes", "-a", "-F", "#{pid} #{pane_pid}").split()}
        self.run("kill-server")
        for pid in pids:
            with pidfd.opened(pid) as process:
                assert process is None or pidfd.wait(process, _PATIENCE), f"process {pid} has not ended"


class Terminal:
    """A pane of tmux."""

    def __init__(self, tmux: Tmux, pane: str) -> None:
        self._tmux = tmux
        self._pane = pane

    @property
    def screen(self) -> list[str]:
        """The lines that the pane shows, down to the last one with text, without blanks at their ends."""
        shown = self._tmux.run("capture-pane", "-p", "-t", self._pane)
        return [line.rstrip() for line in shown.rstrip().splitlines()]

    def type(self, line: str) -> None:
        """Type a line."""
        self._tmux.run("send-keys", "-t", self._pane, "-l", "--", line)
        self.press("Enter")

    def press(self, key: str) -> None:
        """Press a key, by tmux's name for it."""
        self._tmux.run("send-keys", "-t", self._pane, key)

    def shows(self, *lines: str) -> None:
        """Wait until the last lines of the screen are these."""
        self._wait(
            lambda: self.screen[-len(lines) :] == list(lines), "the screen does not end in\n\n" + "\n".join(lines)
        )

    def runs(self, program: str) -> None:
        """Wait until this program is in the foreground, so that it reads what is typed."""
        query = ("display-message", "-p", "-t", self._pane, "#{pane_current_command}")
        self._wait(lambda: self._tmux.run(*query).strip() == program, f"`{program}` is not in the foreground")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for a condition; if it does not come true, fail with the whole screen."""
        end = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{otherwise}\n\nThe whole screen:\n\n" + "\n".join(self.screen))
            time.sleep(0.05)
