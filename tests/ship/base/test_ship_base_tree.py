"""The files of a base: layers as an engine lays them over each other, and links that never lead out."""

from __future__ import annotations

import pytest

from esker.errors import Malformed
from esker.formats.oci.tar_reader import DIRECTORY, FILE, HARD_LINK, SYMBOLIC_LINK, Member
from esker.ship.base.facts import BaseFacts
from esker.ship.base.paths import resolved
from esker.ship.base.tree import BaseTree


def tree(*layers):
    """Return the tree of layers: lists of `name`, `name/` or `name -> target`, and `name = other` for a hard link."""
    made = BaseTree()
    for number, lines in enumerate(layers):
        members = []
        for line in lines:
            name, _, target = line.partition(" -> ")
            name, _, other = name.partition(" = ")
            kind = SYMBOLIC_LINK if target else HARD_LINK if other else DIRECTORY if name.endswith("/") else FILE
            members.append(Member(name, kind, target or other, 0o755, 0, 0, 0, len(members)))
        made.add_layer(number, members)
    return made


def test_a_higher_layer_adds_replaces_and_deletes():
    """A deletion takes what lower layers have, and not what its own layer has put there, in any order."""
    lower = ["etc/", "etc/a", "etc/b", "opt/x/file", "var/all/one", "var/all/two/three"]
    upper = ["etc/b", "etc/.wh.a", "opt/x/new", "opt/.wh.x", "var/all/four", "var/all/.wh..wh..opq", ".wh..wh.plnk"]
    for order in (upper, upper[::-1]):
        made = tree(lower, order)
        assert sorted(path for path, node in made.nodes.items() if node.kind == FILE) == [
            "/etc/b",
            "/opt/x/new",
            "/var/all/four",
        ]
        assert made.nodes["/etc/b"].layer == 1
        assert "/var/all/two" not in made.nodes


def test_a_file_takes_the_place_of_a_directory_and_the_other_way():
    """Nothing of what was there stays."""
    made = tree(["a/b/c", "d"], ["a", "d/", "d/e"])
    assert made.nodes["/a"].kind == FILE
    assert "/a/b" not in made.nodes
    assert made.nodes["/d/e"].kind == FILE


def test_names_begin_as_tools_write_them():
    """With `./`, with `/`, or with neither, they are the same path; a file may be put over a link."""
    made = tree(["./etc/", "/etc/a", "etc//b", "usr/bin/", "bin -> usr/bin"], ["bin/sh", "usr/bin/again = bin/sh"])
    assert {"/etc/a", "/etc/b", "/usr/bin/sh", "/usr/bin/again"} < made.nodes.keys()
    assert made.nodes["/bin"].target == "usr/bin"
    assert made.find("/bin/sh") == ("/usr/bin/sh", made.nodes["/usr/bin/sh"])
    assert made.nodes["/usr/bin/again"].content == (1, 0)


def test_links_lead_nowhere_out():
    """Above the root is the root, as for a program in the image."""
    made = tree(["etc/passwd", "a -> ../../../etc", "b -> /a/passwd", "c -> nowhere"])
    assert made.find("/b")[0] == "/etc/passwd"
    assert made.find("/c") == ("/nowhere", None)
    assert made.is_program("/b")
    facts = BaseFacts(links={"/bin": "usr/bin"}, directories={"/usr/bin": (0o755, 0, 0)}, files=frozenset({"/bin/sh"}))
    assert (facts.place("/bin/x"), facts.place("/bin")) == ("/usr/bin/x", "/bin")
    assert facts.is_there("/bin")
    assert not facts.is_there("/usr/sbin")


def test_links_in_a_circle_are_refused():
    """They would never end."""
    with pytest.raises(Malformed, match="more than 40 links lead from `/a/x`"):
        resolved("/a/x", {"/a": "b", "/b": "a"}.get)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("../etc/passwd", "`../etc/passwd` leads out of the image"),
        ("a/../../b", "leads out of the image"),
        ("x = ../../etc/shadow", "`x` leads out of the image"),
        ("x = missing", "`x` is another name of no file"),
        ("x = dir", "`x` is another name of no file"),
        ("file/below", "`file/below` lies below `/file`, which is no directory"),
        ("a/.wh...", "`a/.wh...` deletes nothing that has a name"),
        ("a/.wh.", "deletes nothing that has a name"),
        ("/".join(["d"] * 3000), "leads out of the image"),
        ("evil\x1b[2J\0", r"`evil\\x1b\[2J\\x00` leads out"),
    ],
)
def test_a_hostile_member_is_refused_by_name(line, fault):
    """Whatever no honest layer has is an error that names it."""
    with pytest.raises(Malformed, match=fault):
        tree(["dir/", "file"], [line])


def test_deep_trees_are_no_deep_recursion():
    """A path of the greatest depth is laid down and deleted again."""
    deep = "/".join(["d"] * 2000)
    made = tree([deep], [".wh.d"])
    assert made.nodes == {}
