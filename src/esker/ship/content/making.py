"""What images are made from and with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.declare.image_table import ImageTable
from esker.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.image_lock import LockedInput
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.settings import Settings
    from esker.store.store import Store

__all__ = ["Making"]


class Making(NamedTuple):
    """What images are made from and with."""

    declaration: Declaration
    lock: Lock
    store: Store
    settings: Settings
    progress: Progress
    inputs: tuple[LockedInput, ...] = ()
    """What `.flox/image.lock` has of things that come from addresses."""
    services: Callable[[str, Mapping[str, int]], Sequence[Mapping[str, object]]] | None = None
    """Gives the services for a system, with their automatic ports by variable, as the supervisor reads them."""
    locked: bool = False
    """Whether it is an error that something from an address is not locked."""
    mode: str = "run"
    """`dev` adds the variables by which compilers find headers and libraries."""

    @property
    def table(self) -> ImageTable:
        """`[plugins.esker.image]`."""
        return self.declaration.esker.image or ImageTable()

    def pin(self, kind: str, name: str, platform: str = "") -> LockedInput | None:
        """Return what the lock of the image has under this name."""
        place = (kind, name, platform)
        return next((each for each in self.inputs if (each.kind, each.name, each.platform) == place), None)

    def require_pin(self, what: str) -> None:
        """Raise ImageError if nothing may be looked up; `what` is looked up otherwise."""
        if self.locked:
            raise ImageError(
                f"{what} is not pinned in .flox/image.lock, and with `--locked` nothing is looked up",
                hint="make the image without `--locked`, and commit .flox/image.lock",
            )
