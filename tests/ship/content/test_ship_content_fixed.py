"""Units whose key is made of what they hold: what is put into the layer is what was read for the key."""

from __future__ import annotations

import pytest

from esker.errors import ImageError
from esker.formats.oci.layer_names import APPLICATION
from esker.ship.content.fixed import fixed_unit
from esker.ship.image.archive import archive
from esker.ship.image.tree import tree
from esker.ship.image.unit import Directory, File
from tests.support.images import builder, image


def test_a_file_that_changes_before_its_layer_is_made(tmp_path):
    """It is refused: the lock would have the new content under the key of the old one, and give it for the old one."""
    source = tmp_path / "main.py"
    source.write_text("old")
    unit = fixed_unit("esker/files", [File("/app/main.py", str(source))], APPLICATION)
    source.write_text("new")
    made = builder(tmp_path / "blobs")
    with pytest.raises(ImageError, match=f"`{source}` was changed while it was put into an image") as caught:
        image(made, [unit])
    assert caught.value.hint == "make the image again"
    source.write_text("old")
    assert image(made, [unit]).layers[0].name == "application"


def test_a_key_is_of_the_contents(tmp_path):
    """Where a file lies on this machine does not count; its content, its mode and its place do."""
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("one")
    entries = (Directory("/app/empty"), File("/app/x", b"two"))
    units = [
        fixed_unit("esker/files", [*entries, File(path, source, mode)], APPLICATION)
        for path, source, mode in (
            ("/app/y", str(tmp_path / "a"), 0o644),
            ("/app/y", str(tmp_path / "b"), 0o644),
            ("/app/y", b"one", 0o644),
            ("/app/y", b"one", 0o755),
            ("/app/z", b"one", 0o644),
            ("/app/y", b"other", 0o644),
        )
    ]
    assert len({each.key for each in units[:3]}) == 1
    assert len({each.key for each in units}) == 4
    assert [each.size for each in units[:3]] == [6, 6, 6]
    assert len({b"".join(archive(tree([each]))) for each in units[:3]}) == 1
