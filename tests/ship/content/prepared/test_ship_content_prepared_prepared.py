"""What is prepared becomes units: in their layers, with their owners, and in places that nothing else has."""

from __future__ import annotations

import pytest

from esker.errors import ImageError
from esker.ship.image.unit import Directory, File
from tests.ship.content.prepared.conftest import listed


@pytest.fixture
def file(registry):
    """Give the keys of a file on loopback."""
    registry.files["/a"] = b"a"
    return f'file = "{registry.at("/a")}"'


def test_the_layer_that_names_it(prepared, file):
    """A unit is named by its place, and the table of layers can name it."""
    text = 'layers = [{ name = "tools", packages = ["/srv/a"] }]\n[plugins.esker.image.prepare]\n'
    content = prepared(f'{text}"/srv/a" = {{ {file} }}\n"/srv/b" = {{ {file} }}\n')
    assert [(unit.name, unit.category) for unit in content.units] == [("/srv/a", "tools"), ("/srv/b", "")]
    assert len({unit.key for unit in content.units}) == 2
    assert len(content.inputs) == 1


@pytest.mark.parametrize("more", ['mode = "0755"', 'owner = "1"', 'owner = "1:2"'])
def test_what_changes_a_key(prepared, file, more):
    """Place, mode and owner are what a layer holds, so each changes the key."""
    [plain] = prepared(f'prepare."/srv/a" = {{ {file} }}\n').units
    [changed] = prepared(f'prepare."/srv/a" = {{ {file}, {more} }}\n').units
    assert plain.key != changed.key


def test_owners(prepared, file):
    """The image's user by name, root, or numbers; nobody else."""
    owners = {}
    for owner in ("app", "root", "7", "7:8", "app:9"):
        [unit] = prepared(f'prepare."/srv/a" = {{ {file}, owner = "{owner}" }}\n').units
        [entry] = unit.entries()
        owners[owner] = (entry.uid, entry.gid)
    assert owners == {"app": (10000, 10000), "root": (0, 0), "7": (7, 7), "7:8": (7, 8), "app:9": (10000, 9)}
    with pytest.raises(ImageError, match="is to belong to `bob`, whom the image does not know") as caught:
        prepared(f'prepare."/srv/a" = {{ {file}, owner = "bob" }}\n')
    assert "`app`" in caught.value.hint


@pytest.mark.parametrize(
    ("other", "place"),
    [
        (File("/srv/a", b""), "/srv/a"),
        (File("/srv/a/b", b""), "/srv/a"),
        (File("/srv", b""), "/srv/a"),
        (Directory("/srv/a"), "/srv/a"),
        (Directory("/srv/a/b"), "/srv/a"),
    ],
)
def test_places_that_something_else_has(prepared, file, other, place):
    """The project's files and the image's own are not replaced."""
    with pytest.raises(ImageError, match=f"`{place}` is prepared, and `{other.path}` is in the image already"):
        prepared(f'prepare."{place}" = {{ {file} }}\n', others=[other])


def test_beside_the_projects_files(prepared, repository, file):
    """A home directory of the image may hold a tree, and files may lie beside what is prepared."""
    repository.commit({"a/b": "b"})
    others = [Directory("/home/app"), Directory("/srv/x"), File("/srv/main", b"")]
    text = f'"/srv/x" = {{ git = "{repository.url}" }}\n"/home/app/f" = {{ {file} }}\n'
    content = prepared(f"[plugins.esker.image.prepare]\n{text}", others=others)
    assert {"/srv/x/a/b", "/home/app/f"} <= {*listed(content)}
