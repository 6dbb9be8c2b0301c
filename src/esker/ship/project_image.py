"""The image of a project: made of its lock for one system or several, and locked itself in `.flox/image.lock`.

What the lock of the image has is neither looked up nor made again, here or on another machine.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats import image_lock
from esker.formats.image_lock import ImageLock
from esker.formats.oci import reference as references
from esker.formats.oci.platform import platform_of
from esker.formats.systems import declared_systems
from esker.host import files
from esker.lock.lock_files import put
from esker.ship.base.pulled import pulled_base
from esker.ship.content.configuration import configuration_of
from esker.ship.content.contents import contents, layer_names
from esker.ship.content.making import Making
from esker.ship.image.blobs import Blobs
from esker.ship.image.codec import codec
from esker.ship.image.image import Builder
from esker.store import image_blobs
from esker.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.oci.reference import Reference
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.settings import Settings
    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.contents import Contents
    from esker.ship.content.nix_environment import NixEnvironment
    from esker.ship.image.image import Image

__all__ = ["ProjectImage", "Wishes", "chosen_systems", "image_reference", "project_image"]


class Wishes(NamedTuple):
    """What a person asks of an image beside the declaration."""

    systems: tuple[str, ...]
    mode: str
    labels: Mapping[str, str]
    created: int
    """Seconds since 1970."""
    services: Callable[[str, Mapping[str, int]], Sequence[Mapping[str, object]]] | None = None
    """As in `Making`."""
    nix: NixEnvironment | None = None
    """As in `Making`."""
    jobs: int = 2
    locked: bool = False
    """Whether everything from addresses has to be in the lock of the image."""
    upgrade: bool = False
    """Whether everything from addresses is looked up anew."""


class ProjectImage(NamedTuple):
    """An image that was made, for each of its systems."""

    contents: tuple[Contents, ...]
    images: tuple[Image, ...]
    builder: Builder
    created: int
    """The time in their configurations, in seconds since 1970."""
    declaration: Declaration
    lock: Lock
    """What it was made of."""
    sbom: bool = True
    """Whether a push attaches bills of materials, as the declaration has it."""

    @property
    def lock_path(self) -> str:
        """The path of the image's own lock."""
        return f"{self.declaration.dot_flox}/{image_lock.NAME}"


def project_image(
    declaration: Declaration, lock: Lock, settings: Settings, wishes: Wishes, progress: Progress
) -> ProjectImage:
    """Make the image of a project, and lock it; raises ImageError, and what realising a lock raises.

    Its layers are made if nobody knows them yet. `builder.provide` then puts them on this machine.
    """
    path = f"{declaration.dot_flox}/{image_lock.NAME}"
    before = ImageLock()
    with suppress(FileNotFoundError):
        before = image_lock.parse(files.read(path), path) if os.path.lexists(path) else before
    store = Store(settings.store_root)
    inputs = () if wishes.upgrade else before.inputs
    making = Making(
        declaration,
        lock,
        store,
        settings,
        progress,
        inputs=inputs,
        services=wishes.services,
        locked=wishes.locked,
        mode=wishes.mode,
        nix=wishes.nix,
    )
    blobs = Blobs(image_blobs.directory(store.root))
    if making.table.base is not None:
        making = making._replace(bases=_bases(making, making.table.base, blobs))
    builder = Builder(
        blobs,
        codec(making.table.compression),
        locked=before.layers,
        created=wishes.created,
        jobs=wishes.jobs,
        progress=progress,
    )
    found: list[Contents] = []
    images: list[Image] = []
    with store.using():
        for system in wishes.systems:
            made = contents(making, system)
            found.append(made)
            making = making._replace(inputs=(*made.inputs, *making.inputs))  # one commit of a branch for all systems
            images.append(
                builder.image(
                    made.units,
                    configuration_of(made, wishes.labels),
                    platform_of(system),
                    explicit=layer_names(making.table),
                    base=made.base,
                )
            )
        image_blobs.keep(store, path, {str(image.platform): _digests(image) for image in images})
    platforms = {str(platform_of(system)) for system in wishes.systems}
    kept = [each for each in before.inputs if each.platform and each.platform not in platforms]
    every = dict.fromkeys([*kept, *(each for made in found for each in made.inputs)])
    put(path, image_lock.render(ImageLock(layers=builder.locked_layers(), inputs=tuple(every))))
    return ProjectImage(tuple(found), tuple(images), builder, wishes.created, declaration, lock, making.table.sbom)


def _bases(making: Making, name: str, blobs: Blobs) -> Callable[[str], PulledBase]:
    """Return what gives the base for a system."""

    def base(system: str) -> PulledBase:
        project, variables = making.declaration.project, making.settings.caller
        return pulled_base(name, making.table.python, project, platform_of(system), blobs, variables, making.progress)

    return base


def _digests(image: Image) -> list[str]:
    """Return the digests of an image's blobs."""
    named = (image.descriptor, image.config_descriptor, *(layer.descriptor for layer in image.layers))
    return [each.digest for each in named]


def _systems_of(declaration: Declaration, lock: Lock, own: str) -> tuple[str, ...]:
    """Return the systems that a project's image is for: those of its table, else each Linux system of the lock."""
    table = declaration.esker.image
    systems = declared_systems(declaration.manifest.options.systems, own)
    if lock.conda is not None:
        systems = tuple(system for system in systems if system in lock.conda.packages)
    if table is not None and table.systems:
        for system in table.systems:
            if system not in systems:
                raise ImageError(
                    f"the environment is not locked for `{system}`, which `systems` of [plugins.esker.image] names",
                    hint=f"add `{system}` to `options.systems`, then: esker lock; or take it out of the image's table",
                )
        return tuple(sorted(set(table.systems)))
    found = tuple(system for system in systems if system.endswith("-linux"))
    if not found:
        raise ImageError(
            "the environment is locked for no system that images are for",
            hint="add `x86_64-linux` or `aarch64-linux` to `options.systems`, then: esker lock",
        )
    return found


def image_reference(declaration: Declaration, tag: str) -> Reference:
    """Return the name of a project's image with a tag; raises Malformed."""
    table = declaration.esker.image
    name = table.name if table else None
    if name is None:
        name = re.sub(r"[^a-z0-9]+", "-", declaration.name.lower()).strip("-") or "environment"
    return references.parse(f"{name}:{tag}")


def chosen_systems(asked: Sequence[str], declaration: Declaration, lock: Lock, own: str) -> tuple[str, ...]:
    """Return the systems that were asked for, which have to be among the image's; all of them if none was."""
    known = _systems_of(declaration, lock, own)
    for system in asked:
        if system not in known:
            raise ImageError(
                f"the image is not for `{system}`",
                hint=f"it is for {', '.join(known)}; `systems` of [plugins.esker.image] and `options.systems` say so",
            )
    return tuple(sorted(set(asked))) or known
