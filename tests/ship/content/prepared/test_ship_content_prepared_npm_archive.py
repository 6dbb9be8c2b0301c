"""Archives of npm: what is unpacked how, and what is refused before it acts."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from esker.errors import ImageError
from esker.ship.content.prepared.npm_archive import has_install_script, programs, unpack
from tests.support.npm_registry import archive, member

LARGEST = 1 << 20


@pytest.fixture
def unpacked(tmp_path):
    """Give a function that packs members, unpacks them, and returns the directory."""

    def make(*members, data=None, largest=LARGEST):
        (tmp_path / "a.tgz").write_bytes(archive(members) if data is None else data)
        (tmp_path / "into").mkdir()
        unpack(str(tmp_path / "a.tgz"), str(tmp_path / "into"), "a@1.0.0", largest)
        return tmp_path / "into"

    return make


def test_what_is_unpacked(unpacked):
    """The first directory is left out whatever its name is, links are left out, and modes are 0644 or 0755."""
    tree = unpacked(
        member("a-1.0.0", type=tarfile.DIRTYPE, mode=0o2755),
        member("a-1.0.0/package.json", b"{}", mode=0o600),
        member("a-1.0.0/./bin/cli.js", b"#!", mode=0o777),
        member("package/link", type=tarfile.SYMTYPE, linkname="../../out"),
        member("package/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("pax/" + "long" * 60, b"x"),
    )
    found = {str(path.relative_to(tree)): path.stat().st_mode & 0o7777 for path in tree.rglob("*") if path.is_file()}
    assert found == {"package.json": 0o644, "bin/cli.js": 0o755, "long" * 60: 0o644}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member("package/../../out", b"x")], "leads out of the package"),
        ([member("../package/out", b"x")], "leads out of the package"),
        ([member("/package/out", b"x")], "leads out of the package"),
        ([member("package/a", b"x"), member("package/a", b"y")], "`package/a` is there twice"),
        ([member("package/a", b"x"), member("other/./a", b"y")], "`other/./a` is there twice"),
        ([member("package/a", b"x"), member("package/a/b", b"y")], "`package/a/b` is there twice"),
        ([member("package/a/b", b"x"), member("package/a", b"y")], "`package/a` is there twice"),
        ([member(f"package/{'a' * 256}", b"x")], "is too long a name"),
        ([member("package/" + "a/" * 1500, b"x")], "is too long a name"),
        ([member("package/a", b"x", mode=0o4755)], "would give the rights of another user (mode 4755)"),
        ([member("package/a", b"x", mode=0o2755)], "would give the rights of another user (mode 2755)"),
        ([member("package/a", type=tarfile.CHRTYPE)], "neither a file, a directory nor a link"),
        ([member("package/a", type=tarfile.BLKTYPE)], "neither a file, a directory nor a link"),
        ([member("package/a", type=tarfile.FIFOTYPE)], "neither a file, a directory nor a link"),
        ([member("package/a", bytes(LARGEST + 1))], f"unpacks to more than {LARGEST} bytes"),
        ([member("package/a", b"x" * (2 << 20), type=tarfile.XHDTYPE)], "a header has 2097152 bytes"),
        ([member("package/a", b"x" * (2 << 20), type=tarfile.GNUTYPE_LONGNAME)], "a header has 2097152 bytes"),
    ],
)
def test_what_is_refused(unpacked, tmp_path, members, words):
    """Nothing is written outside of the directory, and the error names the package and the path."""
    with pytest.raises(ImageError) as caught:
        unpacked(*members)
    assert words in caught.value.message
    assert "`a@1.0.0`" in caught.value.message
    assert {*os.listdir(tmp_path)} == {"a.tgz", "into"}


@pytest.mark.parametrize("data", [b"", b"no archive", archive([member("package/a", b"x" * 5000)])[:-60]])
def test_what_is_no_archive(unpacked, data):
    """What is damaged is refused by the same error."""
    with pytest.raises(ImageError, match=r"the archive of npm's `a@1\.0\.0` is refused"):
        unpacked(data=data)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"bin": "cli.js", "name": "@scope/tool"}, {"tool": "cli.js"}),
        ({"bin": {"one": "./cli.js", "../../two": "/cli.js"}}, {"one": "cli.js", "two": "cli.js"}),
        ({"bin": {"one": "../../../cli.js"}}, {"one": "cli.js"}),
        ({"bin": {"one": "missing.js", ".hidden": "cli.js", "a b": "cli.js", "": "cli.js"}}, {}),
        ({"bin": {"one": 1}}, {}),
        ({"bin": ["cli.js"]}, {}),
        ([], {}),
    ],
)
def test_programs(unpacked, declared, expected):
    """A program lies within its package, and its command is a plain name."""
    tree = unpacked(member("package/cli.js", b""), member("package/package.json", json.dumps(declared).encode()))
    assert programs(str(tree)) == expected


@pytest.mark.parametrize(
    ("files", "has_script"),
    [
        ({}, False),
        ({"package.json": "["}, False),
        ({"package.json": '{"scripts": {"test": "x", "prepare": "x"}}'}, False),
        ({"package.json": '{"scripts": {"postinstall": "x"}}'}, True),
        ({"package.json": '{"scripts": ["install"]}'}, False),
        ({"package.json": "{}", "binding.gyp": ""}, True),
        ({"package.json": '{"gypfile": false}', "binding.gyp": ""}, False),
    ],
)
def test_install_scripts(tmp_path, files, has_script):
    """Npm runs three scripts when it installs a package, and builds one that has a `binding.gyp`."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert has_install_script(str(tmp_path)) is has_script
