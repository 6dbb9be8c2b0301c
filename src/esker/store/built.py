"""A store that is only looked at: it gives the paths that are built already, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import StoreError
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["BuiltStore"]


class BuiltStore(Store):
    """A store in which nothing is built. It makes no directories and takes no locks, so a collection may go on."""

    def build_all(
        self,
        wanted: Sequence[tuple[str, str]],
        fill: Callable[[Mapping[str, str]], object],  # noqa: ARG002 - nothing is built
        *,
        references: Iterable[str] = (),  # noqa: ARG002 - the same
    ) -> list[str]:
        """Return the paths for these fingerprints; raises StoreError if one is not valid."""
        paths = [self.path(name, fingerprint) for name, fingerprint in wanted]
        for path in paths:
            if not self.is_valid(path):
                raise StoreError(f"`{path}` is not in the store")
        return paths
