"""Where an image lies that a person names, and that nothing stays open behind it."""

from __future__ import annotations

import pytest

from esker.errors import NotFound
from esker.formats.oci.reference import parse
from esker.ship import image_sources
from esker.ship.image.layout import write_layout
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.push import push
from esker.ship.image.stored import stored_images
from esker.ship.image_sources import image_source
from tests.support.fake_registry import FakeRegistry
from tests.support.images import builder, image


def test_a_layout_and_what_is_nowhere(tmp_path):
    """A directory is read as a layout, with a tag or without one; a name without a registry has to be a path."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    write_layout(str(tmp_path / "layout"), [its], parse("app:1"), made)
    for target in (f"{tmp_path}/layout", f"{tmp_path}/layout:1"):
        with image_source(target, {}) as source:
            assert [each.descriptor.digest for each in stored_images(source)] == [its.descriptor.digest]
    with pytest.raises(NotFound, match="no registry is named"), image_source("nowhere", {}):
        pass
    for path in ("./nowhere", "../nowhere:1", "/Nowhere"):
        with (
            pytest.raises(NotFound, match=f"there is no directory or file `{path}`\nhint: name the path"),
            image_source(path, {}),
        ):
            pass


def test_the_connections_to_a_registry_are_closed(tmp_path, monkeypatch):
    """After the block, and also if the image is not there."""
    closed = []

    class Watched(Registry):
        def close(self):
            closed.append({origin: len(idle) for origin, idle in self._idle.items()})
            super().close()

    monkeypatch.setattr(image_sources, "Registry", Watched)
    made = builder(tmp_path)
    its = image(made)
    with FakeRegistry() as server:
        with Registry(server.host, Credentials("/nonexistent/config.json", {})) as registry:
            push(parse(f"{server.host}/app:1"), [its], made, registry)
        with image_source(f"{server.host}/app:1", {"HOME": str(tmp_path)}) as source:
            assert stored_images(source)[0].descriptor.digest == its.descriptor.digest
        with (
            pytest.raises(ValueError, match="other"),
            image_source(f"{server.host}/app:2", {"HOME": str(tmp_path)}),
        ):
            raise ValueError("other")
    assert closed == [{f"http://{server.host}": 1}, {}]
