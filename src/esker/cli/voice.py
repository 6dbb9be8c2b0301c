"""How a command line speaks: as `esker`, or as the `flox` that `esker shim` writes.

One implementation serves both. What differs is decided once, at the entry, and handed to each command as its voice:
the name in its texts, and whether it adds to Flox's texts what only Esker says (hints, places, codes, columns).
On the path of every activation: nothing is imported at the top.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.errors import EskerError
    from esker.progress import Progress

__all__ = ["ESKER", "FLOX", "FLOX_VERSION", "Voice"]

FLOX_VERSION = "1.14.1"
"""The Flox whose behaviour this has."""


class Voice:
    """How a command speaks; never changed once made."""

    __slots__ = ("level", "plain", "program", "title")

    def __init__(self, program: str, title: str, *, plain: bool, level: int = 0) -> None:
        self.program = program
        """The command's name, as a person types it."""
        self.title = title
        """The same in a sentence."""
        self.plain = plain
        """Whether Flox's texts stand alone, and every error ends in status 1."""
        self.level = level
        """Below zero only errors are told; above it errors are told with all that is known."""

    def at(self, level: int) -> Voice:
        """Return this voice at another level."""
        return Voice(self.program, self.title, plain=self.plain, level=level)

    def say(self, text: str) -> None:
        """Tell a person something that is no error."""
        if self.level >= 0:
            from esker.formats.printable import printable

            print(printable(text), file=sys.stderr, flush=True)

    def report(self, error: EskerError) -> int:
        """Tell a person of an error, and return the exit status: Flox's text, or with hint and the error's class."""
        from esker.formats.printable import printable

        lines = [error.flox()] if self.plain and self.level <= 0 else [*error.lines(), f"code: {error.code}"]
        print(printable("\n".join([f"✘ ERROR: {lines[0]}", *lines[1:]])), file=sys.stderr)
        return 1 if self.plain else error.exit_status

    @staticmethod
    def shown(text: str, *, colours: bool = False) -> str:
        """Return a text of others as standard output takes it: as it is, unless that is a terminal."""
        from esker.formats.printable import printable

        return printable(text, colours=colours) if sys.stdout.isatty() else text

    def interrupted(self) -> int:
        """Tell that the person has interrupted the command, and return the exit status."""
        print("user interrupted process" if self.plain else "interrupted", file=sys.stderr)
        return 1 if self.plain else 130

    def progress(self) -> Progress:
        """Return the listener that suits this voice and stderr."""
        if self.level < 0 or (self.plain and not sys.stderr.isatty()):
            from esker.progress import Silent

            return Silent()
        from esker.cli.views.progress import progress

        return progress()

    def path(self) -> str:
        """Return how a shell is to call this command again: by its path, which PATH need not have then."""
        return os.path.abspath(sys.argv[0]) if os.path.basename(sys.argv[0]) == self.program else self.program

    def check_version(self, minimum: str | None, reason: str | None = None) -> None:
        """Warn when a manifest asks for a later Flox than the one whose behaviour this has."""
        if minimum is not None and _numbers(minimum) > _numbers(FLOX_VERSION):
            self.say(f"! This environment requires Flox v{minimum} or later, you have v{FLOX_VERSION}.")
            if reason:
                self.say(f"Reason: {reason}")


def _numbers(version: str) -> list[int]:
    """Return the three numbers of a semantic version; what comes before a release counts as it."""
    return [int(number) for number in version.partition("+")[0].partition("-")[0].split(".")]


ESKER = Voice("esker", "Esker", plain=False)
FLOX = Voice("flox", "Flox", plain=True)
