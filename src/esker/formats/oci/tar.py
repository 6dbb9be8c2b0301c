"""Headers of tar archives, always the same bytes for the same member: the layers of images are such archives.

An archive is a row of members, each a header of 512 bytes and its content, filled up with zeros to a multiple of 512;
two blocks of zeros end it. A header has its fields at fixed places, numbers in octal digits, and the sum of its bytes.
A name of up to 100 bytes has a field; a longer one is divided at a slash into that field and a prefix of up to 155.
What does not fit, and every text that is not ASCII, stands in an extended header before it, a member of its own with
lines of `LENGTH KEY=VALUE`.

Specification: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Interchange Format". Oddities: the time is
1 s after the epoch everywhere, because some programs take 0 for "no time"; owners have numbers and no names, because
tools would look the names up on their own machine.
"""

from __future__ import annotations

__all__ = ["BLOCK", "DIRECTORY", "END", "FILE", "HARD_LINK", "SYMBOLIC_LINK", "header", "padding"]

BLOCK = 512
FILE, HARD_LINK, SYMBOLIC_LINK, DIRECTORY = b"0", b"1", b"2", b"5"
END = bytes(2 * BLOCK)
"""What ends an archive."""
_EXTENDED = b"x"
_NAME, _PREFIX = 100, 155
_LARGEST_ID = 0o7777777
_LARGEST_SIZE = 0o77777777777
_ONE_SECOND = b"00000000001\0"
_MAGIC = b"ustar\0" + b"00"
_NAMELESS = bytes(64)
_NO_DEVICE = b"0000000\0" * 2


def header(
    kind: bytes, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, size: int = 0, target: str = ""
) -> bytes:
    """Return what stands before the content of a member; `path` is relative and has a slash at the end of a directory.

    Raises UnicodeEncodeError for a text that is not UTF-8.
    """
    name, link = path.encode(), target.encode()
    extended = []
    prefix = b""
    if len(name) > _NAME or not path.isascii():
        prefix, name, fits = _divided(name) if path.isascii() else (b"", name[:_NAME], False)
        if not fits:
            extended.append(_record(b"path", path.encode()))
    if len(link) > _NAME or not target.isascii():
        extended.append(_record(b"linkpath", link))
        link = link[:_NAME]
    limits = ((b"size", size, _LARGEST_SIZE), (b"uid", uid, _LARGEST_ID), (b"gid", gid, _LARGEST_ID))
    extended += [_record(key, b"%d" % number) for key, number, largest in limits if number > largest]
    size = size if size <= _LARGEST_SIZE else 0
    uid, gid = (number if number <= _LARGEST_ID else 0 for number in (uid, gid))
    main = _block(kind, name, b"%07o\0%07o\0%07o\0%011o\0" % (mode, uid, gid, size), link, prefix)
    if not extended:
        return main
    data = b"".join(sorted(extended))
    first = _block(_EXTENDED, b"PaxHeader", b"0000644\0%07o\0%07o\0%011o\0" % (0, 0, len(data)), b"", b"")
    return first + data + padding(len(data)) + main


def padding(size: int) -> bytes:
    """Return the zeros after a content of `size` bytes.

    >>> len(padding(1)), len(padding(512))
    (511, 0)
    """
    return bytes(-size % BLOCK)


def _block(kind: bytes, name: bytes, numbers: bytes, link: bytes, prefix: bytes) -> bytes:
    before = name.ljust(_NAME, b"\0") + numbers + _ONE_SECOND
    after = kind + link.ljust(_NAME, b"\0") + _MAGIC + _NAMELESS + _NO_DEVICE + prefix.ljust(_PREFIX, b"\0") + bytes(12)
    total = sum(before) + 8 * ord(" ") + sum(after)  # as if the field of the sum held spaces
    return before + b"%06o\0 " % total + after


def _divided(name: bytes) -> tuple[bytes, bytes, bool]:
    """Return the prefix and the rest of a long name, and whether they are the whole name."""
    slash = name.find(b"/", max(len(name) - _NAME - 1, 1))
    if 0 < slash <= _PREFIX and slash < len(name) - 1:
        return name[:slash], name[slash + 1 :], True
    return b"", name[:_NAME], False


def _record(key: bytes, value: bytes) -> bytes:
    r"""Return a line of an extended header, which begins with its own length.

    >>> _record(b"path", b"a")
    b'9 path=a\n'
    """
    rest = len(key) + len(value) + 3
    length = rest + len(b"%d" % rest)
    length = rest + len(b"%d" % length)
    return b"%d %s=%s\n" % (length, key, value)
