"""A store that is only looked at: it gives the paths that are built already, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import StoreError
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["BuiltStore"]


class BuiltStore(Store):
    """A store in which nothing is built. It makes no directories and takes no locks, so a collection may go on."""

    def build(
        self,
        name: str,
        fingerprint: bytes | str,
        fill: Callable[[str], object],  # noqa: ARG002 - nothing is built
        *,
        references: Iterable[str] = (),  # noqa: ARG002 - the same
    ) -> str:
        """Return the path for `fingerprint`; raises StoreError if it is not valid."""
        path = self.path(name, fingerprint)
        if not self.is_valid(path):
            raise StoreError(f"`{path}` is not in the store")
        return path
