"""Headers of tar archives: Python's tarfile reads what was meant, and the same member is always the same bytes."""

from __future__ import annotations

import io
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.formats.oci import tar

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=90).filter(
    lambda name: name not in {".", ".."}
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
IDS = st.integers(0, (1 << 32) - 2)


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getmembers()


@settings(deadline=None)
@given(PATHS, st.integers(0, 0o777), IDS, IDS, st.binary(max_size=2000))
def test_a_file_is_read_as_it_was_written(path, mode, uid, gid, content):
    """Name, mode, owner and content of a file survive, whatever they are, and the time is one second."""
    header = tar.header(tar.FILE, path, mode=mode, uid=uid, gid=gid, size=len(content))
    (member,) = members(header + content + tar.padding(len(content)) + tar.END)
    assert (member.name, member.mode, member.uid, member.gid) == (path, mode, uid, gid)
    assert (member.size, member.mtime, member.uname, member.isreg()) == (len(content), 1, "", True)
    assert len(header) % tar.BLOCK == 0


@settings(deadline=None)
@given(PATHS, PATHS, st.sampled_from([tar.SYMBOLIC_LINK, tar.HARD_LINK]))
def test_a_link_is_read_as_it_was_written(path, target, kind):
    """Both kinds of links keep their targets, whatever these are."""
    (member,) = members(tar.header(kind, path, target=target) + tar.END)
    assert (member.name, member.linkname) == (path, target)
    assert member.issym() == (kind == tar.SYMBOLIC_LINK)


@pytest.mark.parametrize("length", [98, 99, 100, 101, 155, 254, 255, 256, 300])
def test_names_about_the_limits_of_the_fields(length):
    """A name that just fits its fields, and one that does not, are both read as they were written."""
    for path in ("n" * length, "d" * 60 + "/" + "n" * (length - 61), "d" * (length - 90) + "/" + "n" * 89):
        (member,) = members(tar.header(tar.FILE, path, size=0) + tar.END)
        assert member.name == path
        (member,) = members(tar.header(tar.DIRECTORY, f"{path}/") + tar.END)
        assert (member.name, member.isdir()) == (path, True)


def test_a_short_member_is_one_block():
    """Only what does not fit has a header of its own before it."""
    assert len(tar.header(tar.FILE, "usr/bin/x", size=1)) == tar.BLOCK
    assert len(tar.header(tar.FILE, "d" * 100 + "/" + "n" * 99, size=1)) == tar.BLOCK
    assert len(tar.header(tar.FILE, "é", size=1)) == 3 * tar.BLOCK


def test_a_file_of_ten_gigabytes_has_its_size():
    """A size that does not fit into octal digits stands in the extended header."""
    header = tar.header(tar.FILE, "large", size=10 << 30)
    member = tarfile.TarInfo.frombuf(header[2 * tar.BLOCK :], "utf-8", "strict")
    assert b"18 size=10737418240\n"[3:] in header
    assert member.size == 0


def test_the_programs_of_the_system_read_it(tmp_path):
    """GNU tar lists an archive with every kind of member, and complains of nothing."""
    archive = (
        tar.header(tar.DIRECTORY, "d/", mode=0o750)
        + tar.header(tar.FILE, "d/f", mode=0o644, size=2, uid=5, gid=6)
        + b"hi"
        + tar.padding(2)
        + tar.header(tar.HARD_LINK, "d/h", target="d/f")
        + tar.header(tar.SYMBOLIC_LINK, "d/ü", target="../ö")
        + tar.END
    )
    (tmp_path / "a.tar").write_bytes(archive)
    done = subprocess.run(
        ["tar", "--numeric-owner", "--utc", "-tvf", tmp_path / "a.tar"],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert [(line[0], line[1]) for line in lines] == [
        ("drwxr-x---", "0/0"),
        ("-rw-r--r--", "5/6"),
        ("hrwxr-xr-x", "0/0"),
        ("lrwxr-xr-x", "0/0"),
    ]
    assert [line[-1] for line in lines] == ["d/", "d/f", "d/f", "../ö"]
    assert {" ".join(line[3:5]) for line in lines} == {"1970-01-01 00:00"}
