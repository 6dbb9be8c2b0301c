"""How a command line speaks: as `esker`, or as the `flox` that `esker shim` writes.

One implementation serves both. What differs is decided once, at the entry, and handed to each command as its voice:
the name in its texts, and whether it adds to Flox's texts what only Esker says (hints, places, codes, columns). Texts
that only Flox has are in `flox_dialect`. On the path of every activation: nothing is imported at the top.
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
    """How `esker` speaks; never changed once made."""

    __slots__ = ("level", "program", "title")

    absent: frozenset[str] = frozenset()
    """The commands that are not there in this voice."""
    remarks = True
    """Whether it says what Flox would not say: see `remark`."""
    status_of_errors: int | None = None
    """The exit status after every error; None means each error's own."""
    end_of_table = "\n"
    """What stands after the last line of a table."""

    def __init__(self, program: str, title: str, *, level: int = 0) -> None:
        self.program = program
        """The command's name, as a person types it."""
        self.title = title
        """The same in a sentence."""
        self.level = level
        """Below zero only errors are told; above it errors are told with all that is known."""

    def at(self, level: int) -> Voice:
        """Return this voice at another level."""
        return type(self)(self.program, self.title, level=level)

    @property
    def version(self) -> str:
        """What `--version` prints."""
        from esker import __version__

        return __version__

    def welcome(self, usage: str) -> None:
        """Answer a command line without a command; `usage` is the help of the whole."""
        print(usage)

    def say(self, text: str) -> None:
        """Tell a person something that is no error."""
        if self.level >= 0:
            from esker.formats.printable import printable

            print(printable(text), file=sys.stderr, flush=True)

    def remark(self, text: str) -> None:
        """Tell a person what only Esker tells."""
        if self.remarks:
            self.say(text)

    def report(self, error: EskerError) -> int:
        """Tell a person of an error, and return the exit status."""
        from esker.formats.printable import printable

        print(printable(f"✘ ERROR: {self._words(error)}"), file=sys.stderr)
        return self.status_of_errors or error.exit_status

    def _words(self, error: EskerError) -> str:
        return "\n".join([*error.lines(), f"code: {error.code}"])

    def service_cells(self, cells: list[str]) -> list[str]:
        """Return what is shown of a line of the table of services."""
        return cells

    def interrupted(self) -> int:
        """Tell that the person has interrupted the command, and return the exit status."""
        print("interrupted", file=sys.stderr)
        return 130

    def progress(self) -> Progress:
        """Return the listener that suits this voice and stderr."""
        if self.level < 0:
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


class _FloxVoice(Voice):
    """How `flox` speaks: its texts stand alone, without hints, places and codes, and every error ends in status 1."""

    __slots__ = ()

    absent = frozenset({"lock", "rollback", "store", "trust", "doctor", "shim"})
    remarks = False
    status_of_errors = 1
    end_of_table = "\n\n"

    @property
    def version(self) -> str:
        """What `--version` prints."""
        return FLOX_VERSION

    def welcome(self, usage: str) -> None:
        """Answer a command line without a command, as Flox does: with what is active too."""
        from esker.cli.flox_dialect import welcome

        welcome(usage, self.version)

    def _words(self, error: EskerError) -> str:
        if self.level > 0:
            return super()._words(error)
        from esker.cli.flox_dialect import words

        return words(error)

    def service_cells(self, cells: list[str]) -> list[str]:
        """Return what is shown of a line of the table of services."""
        from esker.cli.flox_dialect import service_cells

        return service_cells(cells)

    def interrupted(self) -> int:
        """Tell that the person has interrupted the command, and return the exit status."""
        from esker.cli.flox_dialect import INTERRUPTED

        print(INTERRUPTED, file=sys.stderr)
        return 1

    def progress(self) -> Progress:
        """Return the listener that suits stderr; Flox tells of progress at a terminal alone."""
        if sys.stderr.isatty():
            return super().progress()
        from esker.progress import Silent

        return Silent()


def _numbers(version: str) -> list[int]:
    """Return the three numbers of a semantic version; what comes before a release counts as it."""
    return [int(number) for number in version.partition("+")[0].partition("-")[0].split(".")]


ESKER = Voice("esker", "Esker")
FLOX = _FloxVoice("flox", "Flox")
