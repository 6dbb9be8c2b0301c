"""Where an image lies that a person names: a layout, an archive of one, or a registry."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.errors import NotFound
from esker.formats.oci import reference as references
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import credentials_of
from esker.ship.image.registry.repository import Repository
from esker.ship.image.stored import ArchiveSource, LayoutSource, RegistrySource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.ship.image.stored import Source

__all__ = ["image_source"]

_PATHS = ("/", "./", "../", "~/")
"""How paths begin that are no names of images."""


@contextmanager
def image_source(target: str, variables: Mapping[str, str]) -> Iterator[Source]:
    """Give the source of the image with this name: `DIR`, `FILE`, either with `:TAG`, or `registry.example/app:1.0`.

    The connections to a registry are closed after the block. Raises NotFound for what is no path and names no registry,
    and Malformed.
    """
    place, _, tag = target.rpartition(":")
    for path, chosen in ((target, ""), (place, tag)):
        if path and os.path.isdir(path):
            yield LayoutSource(path, chosen)
            return
        if path and os.path.isfile(path):
            yield ArchiveSource(path, chosen)
            return
    if target.startswith(_PATHS):
        raise NotFound(f"there is no directory or file `{target}`", hint="name the path of a layout or an archive")
    reference = references.parse(target)
    if not reference.registry:
        raise NotFound(
            f"there is no directory or file `{target}`, and no registry is named",
            hint="name a path, or an image with its registry: registry.example/app:1.0",
        )
    with Registry(reference.registry, credentials_of(variables)) as registry:
        yield RegistrySource(Repository(registry, reference.path), reference.label)
