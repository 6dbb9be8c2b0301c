"""Images: the documents that say what an image is, and where the blobs come from that they name.

    builder = Builder(blobs, codec("gzip"), locked=lock.layers)
    image = builder.image(units, configuration, platform)        # documents; makes the layers that nobody knows yet
    builder.provide([image])                                     # puts every blob into `blobs`

A layer whose key is locked is not looked at: its digest, size and diff_id are taken from the lock. Only when an output
needs its bytes, and they are not on this machine, is it made once more, and then it has to come out as it is locked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats.counted import counted
from esker.formats.image_lock import LockedLayer
from esker.formats.oci import config as config_document
from esker.formats.oci import tar
from esker.formats.oci.documents import BASE_DIGEST, BASE_NAME, CONFIG, MANIFEST, Descriptor, describe, manifest
from esker.formats.oci.layer_names import base_layer
from esker.formats.oci.steps import UnitLine, step
from esker.ship.image.building import MadeLayer, make_layers
from esker.ship.image.planning import MOST_LAYERS, PlannedLayer, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from esker.formats.oci.config import Config, Step
    from esker.formats.oci.configuration import Configuration
    from esker.formats.oci.platform import Platform
    from esker.formats.oci.reference import Reference
    from esker.progress import Progress
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.codec import Codec
    from esker.ship.image.unit import Unit

__all__ = ["Base", "Builder", "Image", "Layer"]

_EMPTY = f"sha256:{hashlib.sha256(tar.END).hexdigest()}"
"""The digest of an archive of nothing."""
_SHOWN_KEY = 12
"""Characters of a unit's key that the history has."""
_LEAST_OWN = 4
"""How many layers of its own an image may need: packages, a category, configuration and application."""


_WRITE_AGAIN = 'write `"layers": []` into .flox/image.lock; the next build of the image fills it again'
"""Not to remove the file: it pins what comes from addresses, too."""


class Base(NamedTuple):
    """An image that another one begins with."""

    reference: Reference
    """Where it lies, with its digest."""
    config: Config
    layers: tuple[Descriptor, ...]
    fetch: Callable[[Blobs, Sequence[Descriptor]], None]
    """Puts some of the layers into a directory of blobs, each checked."""


class Layer(NamedTuple):
    """A layer of an image."""

    name: str
    descriptor: Descriptor
    diff_id: str
    planned: PlannedLayer | None = None
    """What it is made of; None for a layer of the base."""


class Image(NamedTuple):
    """An image for one platform."""

    platform: Platform
    config: bytes
    manifest: bytes
    layers: tuple[Layer, ...]
    """In the order of the manifest, those of the base first."""
    base: Base | None = None

    @property
    def descriptor(self) -> Descriptor:
        """What names the manifest in an index."""
        return describe(self.manifest, MANIFEST, platform=self.platform)

    @property
    def config_descriptor(self) -> Descriptor:
        """What names the configuration in the manifest."""
        return describe(self.config, CONFIG)


class Builder:
    """Makes images of units, and the blobs that they name."""

    def __init__(  # what all images of one lock share
        self,
        blobs: Blobs,
        codec: Codec,
        *,
        locked: Iterable[LockedLayer] = (),
        created: int = 1,
        jobs: int = 2,
        progress: Progress | None = None,
    ) -> None:
        self.blobs = blobs
        self._codec = codec
        self._created = created
        self._jobs = jobs
        self._progress = progress
        self._locked = tuple(locked)
        self._made = {
            each.key: MadeLayer(each.digest, each.size, each.diff_id)
            for each in self._locked
            if each.media_type == codec.media_type
        }
        self._images: dict[str, Image] = {}

    def image(
        self,
        units: Iterable[Unit],
        configuration: Configuration,
        platform: Platform,
        *,
        explicit: Sequence[str] = (),
        base: Base | None = None,
        most: int = MOST_LAYERS,
    ) -> Image:
        """Return the image of these units; makes the layers that are not locked.

        `explicit` has the names of the table of layers in its order, `most` how many layers there may be with those of
        the base. Raises ImageError.
        """
        of_base = base.layers if base else ()
        if most - len(of_base) < _LEAST_OWN:
            raise ImageError(
                f"the base has {counted(len(of_base), 'layer')}, and an image has at most {most}",
                hint="take a base with fewer layers",
            )
        planned = plan(units, explicit=explicit, codec=self._codec.identity, most=most - len(of_base))
        self._make([layer for layer in planned if layer.key not in self._made])
        own = [Layer(each.name, *self._described(each), planned=each) for each in planned]
        layers = [
            *(
                Layer(base_layer(number + 1), each, base.config.diff_ids[number])
                for number, each in enumerate(of_base)
                if base
            ),
            *own,
        ]
        _require_own_blobs(own)
        content = config_document.render(
            configuration,
            platform,
            [(layer.diff_id, _step(layer.planned)) for layer in own if layer.planned],
            created=self._created,
            base=base.config if base else None,
        )
        document = manifest(
            describe(content, CONFIG), [layer.descriptor for layer in layers], _annotations(base) if base else None
        )
        image = Image(platform, content, document, tuple(layers), base)
        self._images[str(platform)] = image
        return image

    def provide(self, images: Iterable[Image], digests: Iterable[str] | None = None) -> None:
        """Put the blobs of images into `blobs`, or those of them that have one of `digests`; raises ImageError."""
        wanted = None if digests is None else {*digests}
        to_make: dict[str, PlannedLayer] = {}
        for image in images:
            for data in (image.config, image.manifest):
                self.blobs.add(data)
            to_fetch = []
            for layer in image.layers:
                if wanted is not None and layer.descriptor.digest not in wanted:
                    continue
                if self.blobs.has(layer.descriptor):
                    continue
                if layer.planned is None:
                    to_fetch.append(layer.descriptor)
                else:
                    to_make[layer.planned.key] = layer.planned
            if to_fetch and image.base is not None:
                image.base.fetch(self.blobs, to_fetch)
        self._make([*to_make.values()])

    def locked_layers(self) -> tuple[LockedLayer, ...]:
        """Return the layers to lock: those of the images that were made, and of other platforms those of before."""
        kept = [each for each in self._locked if each.platform not in self._images]
        for platform, image in self._images.items():
            kept += [_locked(layer, platform, layer.planned) for layer in image.layers if layer.planned]
        return tuple(kept)

    def _described(self, layer: PlannedLayer) -> tuple[Descriptor, str]:
        made = self._made[layer.key]
        return Descriptor(media_type=self._codec.media_type, digest=made.digest, size=made.size), made.diff_id

    def _make(self, layers: Sequence[PlannedLayer]) -> None:
        names = {layer.key: layer.name for layer in layers}
        made = make_layers(layers, self._codec, self.blobs, jobs=self._jobs, progress=self._progress)
        for key, result in made.items():
            before = self._made.setdefault(key, result)
            if before != result and before.digest == result.digest:
                raise ImageError(
                    f"the layer `{names[key]}` is {result.digest}, but its size or its `diff-id` in .flox/image.lock "
                    "is that of something else",
                    hint=_WRITE_AGAIN,
                )
            if before != result:
                raise ImageError(
                    f"the layer `{names[key]}` has come out as {result.digest}, and is locked as {before.digest}",
                    hint=f"its files are not what they were; if that is meant, {_WRITE_AGAIN}",
                )


def _require_own_blobs(layers: Iterable[Layer]) -> None:
    """Raise ImageError if two layers with files are one blob: a path is in one layer alone, so the lock is wrong."""
    names: dict[str, str] = {}
    for layer in layers:
        if layer.diff_id == _EMPTY:  # of packages without files
            continue
        name = names.setdefault(layer.descriptor.digest, layer.name)
        if name != layer.name:
            raise ImageError(
                f"the layers `{name}` and `{layer.name}` are locked as the same blob, {layer.descriptor.digest}",
                hint=_WRITE_AGAIN,
            )


def _annotations(base: Base) -> dict[str, str]:
    """Return what says of a manifest which image it begins with, in OCI's words."""
    name = {BASE_NAME: base.reference.name} if base.reference.registry else {}
    return {**name, BASE_DIGEST: base.reference.digest}


def _step(layer: PlannedLayer) -> Step:
    return step(layer.name, [UnitLine(each.name, each.version, _shown_key(each)) for each in layer.units])


def _shown_key(unit: Unit) -> str:
    return hashlib.sha256(unit.key.encode()).hexdigest()[:_SHOWN_KEY]


def _locked(layer: Layer, platform: str, planned: PlannedLayer) -> LockedLayer:
    return LockedLayer(
        name=layer.name,
        platform=platform,
        key=planned.key,
        media_type=layer.descriptor.media_type,
        digest=layer.descriptor.digest,
        size=layer.descriptor.size,
        diff_id=layer.diff_id,
    )
