"""What a layer may hold: each hostile tree is refused by name, and all others come out in one order."""

from __future__ import annotations

import os

import pytest

from esker.errors import ImageError
from esker.ship.image.archive import archive
from esker.ship.image.tree import tree
from esker.ship.image.unit import Directory, File, HardLink, SymbolicLink
from tests.support.images import unit


def paths(*units):
    return [entry.path for entry in tree(units)]


@pytest.mark.parametrize("path", ["opt/x", "", "/", "/opt/../../x", "/opt/./x", "/opt//x", "/opt/x/", "/..", "../x"])
@pytest.mark.parametrize(
    "make",
    [lambda path: File(path, b""), Directory, lambda path: SymbolicLink(path, "x")],
    ids=["file", "directory", "link"],
)
def test_a_path_that_leaves_the_tree_is_refused(path, make):
    """Whatever kind of entry has it."""
    with pytest.raises(ImageError, match=r"of `evil` cannot be in an image: the path"):
        tree([unit("evil", make(path))])


@pytest.mark.parametrize("target", ["../../../etc/passwd", "/../x", "x/../../../../y", "..//../.."])
def test_a_link_that_climbs_above_the_root_is_refused(target):
    """Engines stop at the root, but a tool that unpacks the layer into a directory may not."""
    with pytest.raises(ImageError, match="it leads out of the image"):
        tree([unit("evil", SymbolicLink("/opt/x", target))])


@pytest.mark.parametrize("target", ["/etc/passwd", "../etc/../etc", "x", "./../usr/x/../y"])
def test_a_link_within_the_root_is_kept(target):
    """Also one that is absolute: it means the root of the image."""
    (entry,) = tree([unit("good", SymbolicLink("/opt/x", target))])
    assert entry.target == target


@pytest.mark.parametrize("target", ["", "a\0b", "\udcff", "x" * 5000])
def test_a_link_to_nothing_is_refused(target):
    """So is one whose target cannot stand in an archive."""
    with pytest.raises(ImageError, match="`/opt/x` of `evil`"):
        tree([unit("evil", SymbolicLink("/opt/x", target))])


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755, 0o1644])
def test_a_set_user_id_bit_is_refused(mode):
    """So are the other bits that a file has beside its permissions."""
    with pytest.raises(ImageError, match=f"its mode is {mode:04o}") as caught:
        tree([unit("evil", File("/opt/su", b"", mode))])
    assert caught.value.hint


def test_the_sticky_bit_of_a_directory_is_kept():
    """`/tmp` needs it. A set-group-ID bit is refused there, too."""
    (entry,) = tree([unit("good", Directory("/tmp", 0o1777))])
    assert entry.mode == 0o1777
    with pytest.raises(ImageError, match="its mode is 2777"):
        tree([unit("evil", Directory("/tmp", 0o2777))])


@pytest.mark.parametrize("path", ["/opt/.wh.passwd", "/opt/.wh..wh..opq", "/.wh.x/y"])
def test_a_name_that_deletes_is_refused(path):
    """Engines would remove what another layer has."""
    with pytest.raises(ImageError, match=r"begins with `\.wh\.` for a deletion"):
        tree([unit("evil", File(path, b""))])


@pytest.mark.parametrize(
    "path", ["/opt/a\0b", "/opt/\udcff", f"/opt/{'n' * 256}", f"/opt/{'ü' * 128}", "/opt" + "/n" * 2100]
)
def test_a_name_that_no_file_system_takes_is_refused(path):
    """It would stop an engine in the middle of the layer."""
    with pytest.raises(ImageError, match="of `evil` cannot be in an image"):
        tree([unit("evil", File(path, b""))])


def test_a_path_with_dots_in_its_names_is_kept():
    """Only whole parts of `.` and `..` lead elsewhere."""
    assert paths(unit("good", File("/opt/..x", b""), File("/opt/.x..", b""), File("/opt/...", b"")))


@pytest.mark.parametrize("owner", [-1, 1 << 32, (1 << 32) - 1])
def test_an_owner_that_no_kernel_has_is_refused(owner):
    """The last number means "leave as it is"."""
    with pytest.raises(ImageError, match="is no owner"):
        tree([unit("evil", File("/opt/x", b"", uid=owner))])


def test_two_packages_with_one_file_are_refused_by_name():
    """The message names both."""
    with pytest.raises(ImageError, match="`/opt/x` of `second` cannot be in an image: `first` has another entry"):
        tree([unit("first", File("/opt/x", b"1")), unit("second", File("/opt/x", b"1"))])


def test_two_packages_may_have_one_directory():
    """If it has the same mode and owner in both."""
    first, second = unit("first", Directory("/opt/x")), unit("second", Directory("/opt/x"))
    assert paths(first, second) == ["/opt/x"]
    with pytest.raises(ImageError, match="another entry of that path"):
        tree([first, unit("second", Directory("/opt/x", 0o700))])


@pytest.mark.parametrize("above", [SymbolicLink("/opt/x", "/etc"), File("/opt/x", b""), HardLink("/opt/x", "/opt/f")])
def test_an_entry_below_a_link_is_refused(above):
    """It would be written where the link leads."""
    other = unit("other", above, File("/opt/f", b""))
    with pytest.raises(
        ImageError, match="`/opt/x/y/passwd` of `evil` cannot be in an image: `/opt/x` of `other` is no dir"
    ):
        tree([other, unit("evil", File("/opt/x/y/passwd", b""))])


@pytest.mark.parametrize("target", ["/opt/other", "/opt/missing", "/opt/link", "/opt/directory", "/opt/name"])
def test_a_hard_link_to_anything_but_a_file_of_its_unit_is_refused(target):
    """A file of another package may lie in another layer."""
    other = unit("other", File("/opt/other", b""))
    evil = unit("evil", SymbolicLink("/opt/link", "x"), Directory("/opt/directory"), HardLink("/opt/name", target))
    with pytest.raises(ImageError, match="which is no file of that unit"):
        tree([other, evil])


def test_the_first_name_of_a_file_is_the_file():
    """An archive is read from its beginning, so the other names must come later."""
    file, first, last = File("/opt/m", b"x", 0o755), HardLink("/opt/a", "/opt/m"), HardLink("/opt/z", "/opt/m")
    entries = tree([unit("good", file, last, first)])
    assert entries == [File("/opt/a", b"x", 0o755), HardLink("/opt/m", "/opt/a"), HardLink("/opt/z", "/opt/a")]


def test_directories_come_before_what_lies_in_them():
    """Also where another name sorts between the two as a text."""
    made = paths(unit("good", File("/app/a/b", b""), File("/app/a-b", b""), File("/app/a.b", b"")))
    assert made == ["/app/a", "/app/a/b", "/app/a-b", "/app/a.b"]


def test_what_a_base_has_is_left_alone():
    """No directory that a base may have as a link, or with another mode, is written unless it is listed."""
    listed = unit("good", *(File(f"{path}/f", b"") for path in ("/usr/lib/x", "/lib64", "/tmp/x", "/opt/a/b", "/app")))
    assert [path for path in paths(listed) if not path.endswith("/f")] == ["/opt/a", "/opt/a/b"]
    assert paths(unit("good", Directory("/usr"), File("/usr/f", b""))) == ["/usr", "/usr/f"]


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd"), lambda _: None],
    ids=["pipe", "directory", "link", "nothing"],
)
def test_a_source_that_is_no_regular_file_is_refused(tmp_path, make):
    """A pipe, which has the fate of a device, is not waited for; a link is not followed."""
    make(tmp_path / "source")
    with pytest.raises(ImageError, match=f"cannot read `{tmp_path}/source`"):
        list(archive([File("/opt/x", str(tmp_path / "source"))]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_refused(tmp_path):
    """It is not opened for its content."""
    os.mknod(tmp_path / "source", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    with pytest.raises(ImageError, match="it is not a regular file"):
        list(archive([File("/opt/x", str(tmp_path / "source"))]))


def test_extended_attributes_do_not_enter(tmp_path):
    """The archive of a file is the same with and without them, so that no capability enters an image."""
    source = tmp_path / "source"
    source.write_bytes(b"x")
    before = b"".join(archive([File("/opt/x", str(source))]))
    os.setxattr(source, "user.esker", b"1")
    assert b"".join(archive([File("/opt/x", str(source))])) == before


def test_a_file_that_shrinks_is_refused(tmp_path, monkeypatch):
    """A header that promises more than follows would break all that comes after it."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 10)) if size > 995 else b"")
    with pytest.raises(ImageError, match="was changed while it was put into an image"):
        list(archive([File("/opt/x", str(source))]))
