"""What images are made from and with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.declare.image_table import ImageTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.image_lock import LockedInput
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.settings import Settings
    from esker.ship.content.nix_environment import NixEnvironment
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
    nix: NixEnvironment | None = None
    """What Nix gives, if it gives the toolchain."""
    mode: str = "run"
    """`dev` adds the variables by which compilers find headers and libraries."""

    @property
    def table(self) -> ImageTable:
        """`[plugins.esker.image]`."""
        return self.declaration.esker.image or ImageTable()
