"""Archives of others: every kind that real tools write is read, and nothing that claims too much is believed."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.oci import tar
from esker.formats.oci.tar_reader import DIRECTORY, FILE, HARD_LINK, OTHER, SYMBOLIC_LINK, TarReader

LONG = "/".join(["directory" * 5] * 6) + "/ümlaut"


def archive(form, *members):
    """Return an archive of (name, kind, content or target) by Python's own `tarfile`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as made:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid = kind, 0o640, 7
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            made.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return packed.getvalue()


MEMBERS = (
    ("./etc/passwd", tarfile.REGTYPE, b"root" * 1000),
    (LONG, tarfile.REGTYPE, b"x"),
    ("bin/", tarfile.DIRTYPE, ""),
    ("bin/sh", tarfile.SYMTYPE, "d" * 150),
    ("bin/again", tarfile.LNKTYPE, "./etc/passwd"),
    ("dev/null", tarfile.CHRTYPE, ""),
)


def read(data, size=1000):
    """Return the members of an archive that comes in pieces of a size."""
    return list(TarReader(data[start : start + size] for start in range(0, len(data), size)))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("size", [1, 511, 512, 1 << 20])
def test_every_member_is_read(form, size):
    """Long names, other alphabets, links and devices, in pieces of any size."""
    members = read(archive(form, *MEMBERS), size)
    assert [member.path.rstrip("/") for member in members] == [name.rstrip("/") for name, _, _ in MEMBERS]
    assert [member.kind for member in members] == [FILE, FILE, DIRECTORY, SYMBOLIC_LINK, HARD_LINK, OTHER]
    assert [member.target for member in members if member.target] == ["d" * 150, "./etc/passwd"]
    assert {(member.mode, member.uid) for member in members} == {(0o640, 7)}


def test_contents_are_read_where_they_are_asked_for():
    """What is not asked for is skipped, and what is too large is refused."""
    data = archive(tarfile.PAX_FORMAT, *MEMBERS)
    found = {}
    reader = TarReader(iter([data]))
    for member in reader:
        if member.path == LONG:
            found[member.path] = reader.content(1)
    assert found == {LONG: b"x"}
    reader = TarReader(iter([data]))
    next(iter(reader))
    with pytest.raises(Malformed, match="4000 bytes, and 3999 are expected"):
        reader.content(3999)


def test_what_gnu_tar_and_our_own_headers_write(tmp_path):
    """Files with holes are known as such, whose content is not taken for theirs."""
    (tmp_path / "holes").touch()
    with open(tmp_path / "holes", "r+b") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    (tmp_path / "plain").write_bytes(b"plain")
    for form in ("gnu", "pax"):
        command = ["tar", "--create", "--sparse", f"--format={form}", "holes", "plain"]
        data = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
        assert [(member.path, member.has_holes) for member in read(data)] == [("holes", True), ("plain", False)]
    own = tar.header(tar.FILE, LONG, size=3) + b"abc" + tar.padding(3) + tar.END
    assert [(member.path, member.size) for member in read(own)] == [(LONG, 3)]


def altered(offset, field):
    """Return an archive whose first header has another field, and the right sum."""
    header = bytearray(tar.header(tar.FILE, "a", size=1))
    header[offset : offset + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" + tar.padding(1) + tar.END


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (tar.header(tar.FILE, "a", size=600) + bytes(512), "ends too early"),
        (tar.header(tar.FILE, "a")[:100], "ends too early"),
        (b"x" * 512, "sum"),
        (altered(0, b"b")[:148] + b"0000000\0" + altered(0, b"b")[156:], "another sum"),
        (altered(156, b"Z"), "unknown type"),
        (altered(124, b"notoctal"), "size is no number"),
        (altered(124, b"\x80" + b"\xff" * 11), "size is too large"),
        (altered(156, b"x"), "an extended header has a line"),
        (tar.header(b"x", "a", size=2 << 20) + bytes(512), "an extended header has 2097152"),
        (bytes(512) + tar.header(tar.FILE, "a") + tar.END, "something follows"),
    ],
    ids=["content", "header", "no-tar", "sum", "type", "size", "huge", "line", "extended", "after"],
)
def test_what_no_archive_may_have_is_refused(data, fault):
    """Each fault is named."""
    with pytest.raises(Malformed, match=fault):
        read(data)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=200)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=700), st.integers(0, 0o7777), st.integers(0, 1 << 31))))
def test_whatever_our_own_headers_say_is_read_again(files):
    """Names of any length and alphabet, contents, modes and owners."""
    written = b"".join(
        tar.header(tar.FILE, name, mode=mode, uid=uid, size=len(content)) + content + tar.padding(len(content))
        for name, content, mode, uid in files
    )
    data = written + tar.END
    reader = TarReader(iter([data[start : start + 600] for start in range(0, len(data), 600)]))
    assert [(each.path, reader.content(700), each.mode, each.uid) for each in reader] == files


@pytest.mark.parametrize("kind", [b"x", b"g"], ids=["for one", "for all"])
def test_headers_that_nobody_asks_for_are_not_kept(kind):
    """However many there are: a small layer can unpack to gigabytes of them."""

    def pieces():
        for number in range(20):
            value = b"v" * ((1 << 20) - 100)
            line = b" key%06d=%s\n" % (number, value)
            line = b"%d%s" % (len(line) + 7, line)
            yield tar.header(kind, "x", size=len(line)) + line + tar.padding(len(line))
        yield tar.header(tar.FILE, "a") + tar.END

    tracemalloc.start()
    try:
        [member] = TarReader(pieces())
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert member.path == "a"


@pytest.mark.parametrize("size", [1, 511, 512, 1 << 20])
def test_an_archive_in_a_file_is_passed_over(size):
    """Where contents need not be read, the members are the same, and each content is where it is said to be."""
    data = archive(tarfile.PAX_FORMAT, *MEMBERS)
    file = io.BytesIO(data)
    reader = TarReader(iter(lambda: file.read(size), b""), skip=lambda count: file.seek(count, io.SEEK_CUR))
    found = [(member, data[reader.position : reader.position + member.size]) for member in reader]
    assert [member for member, _ in found] == read(data)
    assert [content for _, content in found if content] == [b"root" * 1000, b"x"]
