"""SOURCE_DATE_EPOCH: the time that an image says it was made at, the same for everybody who makes it.

Specification: reproducible-builds.org, "SOURCE_DATE_EPOCH", version 1.1.
"""

from __future__ import annotations

from esker.errors import UsageError
from esker.formats.oci.config import time_text

__all__ = ["DEFAULT", "NAME", "seconds"]

NAME = "SOURCE_DATE_EPOCH"
DEFAULT = 1
"""One second after the epoch: some programs take 0 for "no time"."""


def seconds(value: str | None) -> int:
    """Return the time that the variable's value means, or the default if it is not set or empty; raises UsageError."""
    if not value:
        return DEFAULT
    try:
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"`{value}` is not a number")  # noqa: TRY301
        time_text(int(value))
    except ValueError as error:
        hint = "set it to seconds since 1970, such as $(git log -1 --format=%ct)"
        raise UsageError(f"{NAME} is wrong: {error}", hint=hint) from error
    return int(value)
