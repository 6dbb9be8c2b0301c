"""What a chamber is asked for, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from esker.formats.service_handle import Holder

__all__ = ["Started"]


class Started(NamedTuple):
    """What a start came to."""

    names: tuple[str, ...]
    """The services that were meant, and those that were started because these depend on them."""
    holder: Holder | None = None
    """The process that keeps them, where one must."""
