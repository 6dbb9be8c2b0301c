"""What can go wrong with an environment in tests."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["EskerError", "ServiceFailed", "ServicesNotReady", "SessionEnded", "UnknownService", "error_of"]


class EskerError(Exception):
    """An error that Esker reports; its text is what a person reads, the log of a service and the hint included."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        Exception.__init__(self, record)  # not the one of a class of `esker.errors` that `error_of` may add
        self._record = dict(record)
        self.code: str = record["code"]
        """The word for the kind of error, such as `not-trusted`."""
        self.message: str = record["message"]
        self.hint: str | None = record.get("hint")
        self.place: str | None = record.get("place")
        """`file:line`, where a file is at fault."""

    def __str__(self) -> str:
        text: str | None = self._record.get("text")
        return text or "\n".join([self.message, *([f"hint: {self.hint}"] if self.hint else [])])


class SessionEnded(EskerError):
    """The `esker` command is not there, or has ended in the middle of the tests."""


class UnknownService(EskerError):
    """No service called `service` is declared here."""

    @property
    def service(self) -> str:
        """The name that was asked for."""
        return str(self._record["service"])


class ServiceFailed(EskerError):
    """The service `service` did not start, or ended with an error."""

    @property
    def service(self) -> str:
        """Its name."""
        return str(self._record["service"])

    @property
    def status(self) -> int | None:
        """Its exit status, if it has one."""
        status: int | None = self._record.get("exit_status")
        return status

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines of its log."""
        return tuple(self._record.get("log", ()))


class ServicesNotReady(EskerError):
    """Services were not ready in time."""

    @property
    def services(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._record.get("services", ()))

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines of the log of the first of them."""
        return tuple(self._record.get("log", ()))


_KINDS: Mapping[str, type[EskerError]] = {
    "port-taken": ServiceFailed,
    "service-failed": ServiceFailed,
    "timed-out": ServicesNotReady,
    "unknown-service": UnknownService,
}


def error_of(record: Mapping[str, Any]) -> EskerError:
    """Return the error for the record of an error that the command has sent.

    Tests that have imported `esker.errors`, where Esker is installed beside pytest, can handle it by its class there.
    """
    kind = _KINDS.get(record["code"], EskerError)
    theirs = getattr(sys.modules.get("esker.errors"), kind.__name__, None)
    return kind(record) if theirs is None else type(kind.__name__, (kind, theirs), {})(record)
