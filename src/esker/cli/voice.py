"""How a command line speaks: as `esker`, or as the `flox` that `esker shim` writes.

One implementation serves both. The entry point chooses a voice and passes it to each command. The voice holds the
program's name, and says whether to print Esker's additions (hints, places, codes, columns). Texts that only Flox has
are in `flox_dialect`. Every activation imports this module, so it imports the rest of Esker only where needed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from esker.errors import EskerError
    from esker.progress import Progress
    from esker.services.status import ServiceStatus

__all__ = ["ESKER", "FLOX", "LateProgress", "Voice"]


class Voice:
    """How `esker` speaks. A voice is immutable."""

    __slots__ = ("level", "program", "title")

    absent: frozenset[str] = frozenset()
    """The commands that this voice does not offer."""
    remarks = True
    """Whether to print what Flox would not print: see `remark`."""
    services_like_flox = False
    """Whether services without Esker's table count as started at once, however they end."""
    status_of_errors: int | None = None
    """The exit status after every error; None means each error's own."""
    end_of_table = "\n"
    """The text that follows the last row of a table."""

    def __init__(self, program: str, title: str, *, level: int = 0) -> None:
        self.program = program
        """The program's name, as a person types it."""
        self.title = title
        """The program's name, as it is written in a sentence."""
        self.level = level
        """Below 0 only errors are printed. Above 0 errors have their place, hint and code in every voice."""

    def at(self, level: int) -> Voice:
        """Return this voice at another level."""
        return type(self)(self.program, self.title, level=level)

    @property
    def version(self) -> str:
        """What `--version` prints."""
        from esker import __version__

        return __version__

    def welcome(self, usage: str) -> None:
        """Answer a command line that names no command; `usage` is what `--help` prints."""
        print(usage)

    def show_help(self, parser: ArgumentParser) -> None:
        """Answer the option --help of a command whose arguments the parser reads."""
        print(parser.format_help(), end="")

    def say(self, text: str) -> None:
        """Print a message for people, other than an error, to stderr."""
        if self.level >= 0:
            from esker.formats.printable import printable

            print(printable(text), file=sys.stderr, flush=True)

    def remark(self, text: str) -> None:
        """Print a message that Flox does not have, unless Flox's voice is speaking."""
        if self.remarks:
            self.say(text)

    def report(self, error: EskerError) -> int:
        """Print an error to stderr, and return the exit status."""
        from esker.formats.printable import printable

        print(printable(f"✘ ERROR: {self._words(error)}"), file=sys.stderr)
        return self.status_of_errors or error.exit_status

    def _words(self, error: EskerError) -> str:
        return "\n".join([*error.lines(), f"code: {error.code}"])

    def service_cells(self, cells: list[str]) -> list[str]:
        """Return the cells to show of one row of the table of services."""
        return cells

    def service_states(self, statuses: Sequence[ServiceStatus]) -> Sequence[ServiceStatus]:
        """Return the states of all services in the words of this voice."""
        return statuses

    def interrupted(self) -> int:
        """Report that the command was interrupted, and return the exit status."""
        print("interrupted", file=sys.stderr)
        return 130

    def progress(self) -> Progress:
        """Return the progress listener for this voice: a bar, lines, or nothing."""
        if self.level < 0:
            from esker.progress import Silent

            return Silent()
        from esker.cli.views.progress import progress

        return progress()

    def path(self) -> str:
        """Return how a shell can call this program again: by its absolute path, so that it need not be on PATH."""
        return os.path.abspath(sys.argv[0]) if os.path.basename(sys.argv[0]) == self.program else self.program

    def check_version(self, minimum: str | None, reason: str | None = None) -> None:
        """Warn if a manifest requires a later version of Flox than Esker reproduces, with the manifest's reason.

        A manifest of a newer schema has to require the Flox that brought the schema, which Esker can read.
        """
        from esker.activate.flox import VERSION

        if minimum is None or _numbers(minimum) <= _numbers(VERSION):
            return
        from esker.formats.manifest_schema import LATEST

        if _numbers(minimum) > _numbers(LATEST):
            self.say(f"! This environment requires Flox v{minimum} or later, you have v{VERSION}.")
            if reason:
                self.say(f"Reason: {reason}")


class _FloxVoice(Voice):
    """How `flox` speaks: errors have no hint, place or code, and every error exits with status 1."""

    __slots__ = ()

    absent = frozenset(
        {
            *("lock", "upgrade", "outdated", "search", "show", "why", "which", "tree"),
            *("rollback", "store", "trust", "allow", "deny", "hook", "hook-env"),
            *("ci", "doctor", "completion", "exec", "shim", "testing", "image"),
        }
    )
    remarks = False
    services_like_flox = True
    status_of_errors = 1
    end_of_table = "\n\n"

    @property
    def version(self) -> str:
        """What `--version` prints."""
        from esker.activate.flox import VERSION

        return VERSION

    def welcome(self, usage: str) -> None:
        """Answer a command line that names no command as Flox does: list the active environments too."""
        from esker.cli.flox_dialect import welcome

        welcome(usage, self.version)

    def _words(self, error: EskerError) -> str:
        if self.level > 0:
            return super()._words(error)
        from esker.cli.flox_dialect import words

        return words(error)

    def service_cells(self, cells: list[str]) -> list[str]:
        """Return the cells to show of one row of the table of services."""
        from esker.cli.flox_dialect import service_cells

        return service_cells(cells)

    def service_states(self, statuses: Sequence[ServiceStatus]) -> Sequence[ServiceStatus]:
        """Return the states in Flox's words."""
        from esker.cli.flox_dialect import service_states

        return service_states(statuses)

    def interrupted(self) -> int:
        """Report that the command was interrupted, and return the exit status."""
        from esker.cli.flox_dialect import INTERRUPTED

        print(INTERRUPTED, file=sys.stderr)
        return 1

    def progress(self) -> Progress:
        """Return the progress listener; Flox shows progress only on a terminal, and notices always."""
        if sys.stderr.isatty() or self.level < 0:
            return super().progress()
        from esker.cli.views.progress import Notices

        return Notices()


def _numbers(version: str) -> list[int]:
    """Return the three numbers of a semantic version; a pre-release counts as its release."""
    return [int(number) for number in version.partition("+")[0].partition("-")[0].split(".")]


class LateProgress:
    """A progress listener that creates the real one when work begins: a warm activation never imports that."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._listener: Progress | None = None

    def begin(self, title: str, *, total: int | None = None, unit: str = "") -> None:
        """Create the real listener if there is none yet, and forward the call."""
        self._real().begin(title, total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        """Forward the call."""
        if self._listener is not None:
            self._listener.advance(count)

    def remark(self, text: str) -> None:
        """Create the real listener if there is none yet, and forward the call."""
        self._real().remark(text)

    def notice(self, text: str) -> None:
        """Create the real listener if there is none yet, and forward the call."""
        self._real().notice(text)

    def finish(self, text: str) -> None:
        """Create the real listener if there is none yet, and forward the call."""
        self._real().finish(text)

    def end(self) -> None:
        """Forward the call."""
        if self._listener is not None:
            self._listener.end()

    def fail(self) -> None:
        """Forward the call."""
        if self._listener is not None:
            self._listener.fail()

    def _real(self) -> Progress:
        if self._listener is None:
            self._listener = self._voice.progress()
        return self._listener


ESKER = Voice("esker", "Esker")
FLOX = _FloxVoice("flox", "Flox")
