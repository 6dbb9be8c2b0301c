"""The environment variables of this process; no other module reads or writes them as a whole."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["assign", "current", "inherited"]

_COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


def current() -> dict[str, str]:
    """Return the variables of this process; bytes that are not UTF-8 become surrogates (as with `os.fsdecode`)."""
    return dict(os.environ)


def inherited() -> dict[str, str]:
    """Return the variables for a program that takes the place of this process.

    In the C locale, Python sets LC_CTYPE for itself (PEP 538). That one is left out.
    """
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in _COERCED:
        try:
            with open("/proc/self/environ", "rb") as file:
                original = file.read()
        except OSError:
            return environ
        if not any(entry.startswith(b"LC_CTYPE=") for entry in original.split(b"\0")):
            del environ["LC_CTYPE"]
    return environ


def assign(changes: Mapping[str, str | None]) -> None:
    """Set variables of this process, and unset those whose value is None; if one cannot be set, change none of them."""
    for name, value in changes.items():
        if not name or "=" in name or "\0" in name or "\0" in (value or ""):
            from esker.errors import ActivationFailed

            hint = "a name must not be empty or hold `=`, and neither a name nor its value can hold a NUL character"
            raise ActivationFailed(f"`{name}` cannot be set", hint=hint)
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
