"""The environment variables of this process: the only place that reads or writes them as a whole."""

from __future__ import annotations

import os

from esker.errors import ActivationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["assign", "current", "inherited"]

_COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


def current() -> dict[str, str]:
    """Return this process's variables; text that is not UTF-8 as surrogates (`os.fsdecode`)."""
    return dict(os.environ)


def inherited() -> dict[str, str]:
    """Return the variables this process was started with, for a program that takes its place.

    In the C locale the interpreter adds an LC_CTYPE (PEP 538), which is not for others.
    """
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in _COERCED:
        try:
            with open("/proc/self/environ", "rb") as file:
                given = file.read()
        except OSError:
            return environ
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given.split(b"\0")):
            del environ["LC_CTYPE"]
    return environ


def assign(changes: Mapping[str, str | None]) -> None:
    """Set variables of this process, unset those that are None; all of them, or none when one cannot be set."""
    for name, value in changes.items():
        if not name or "=" in name or "\0" in name or "\0" in (value or ""):
            raise ActivationFailed(f"`{name}` cannot be set", hint="no variable can hold a NUL character")
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
