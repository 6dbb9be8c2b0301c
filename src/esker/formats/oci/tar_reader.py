"""Tar archives of others, read in one pass and without believing them: the layers of a base.

`tar` has what an archive looks like. Archives of others also have what GNU and older programs write: long names as
members of their own (types `L` and `K`), numbers in base 256, files with holes, and directories that are only known by
a slash at the end of their names. Whatever claims to be large, but for the contents of files, is refused.

    reader = TarReader(pieces)
    for member in reader:
        if member.path == "etc/passwd":
            data = reader.content(1 << 20)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed
from esker.formats.oci.tar import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["DIRECTORY", "FILE", "HARD_LINK", "OTHER", "SYMBOLIC_LINK", "Member", "TarReader"]

FILE, HARD_LINK, SYMBOLIC_LINK, DIRECTORY, OTHER = "file", "hard link", "link", "directory", "other"
"""The kinds of members; OTHER is a device or a pipe."""
_KINDS = {
    **dict.fromkeys(b"0\x007S", FILE),
    ord("1"): HARD_LINK,
    ord("2"): SYMBOLIC_LINK,
    ord("5"): DIRECTORY,
    **dict.fromkeys(b"346", OTHER),
}
_WITH_CONTENT = frozenset(b"0\x007S")
_PAX, _PAX_FOR_ALL, _LONG_NAME, _LONG_LINK, _HOLES = b"x", b"g", b"L", b"K", ord("S")
_READ = frozenset({"path", "linkpath", "size", "uid", "gid", "GNU.sparse.name"})
"""The keys of extended headers that are kept: an archive can have any number of others, each with 1 MiB."""
_OF_HOLES = "GNU.sparse."
_LARGEST_HEADER = 1 << 20
"""Bytes of an extended header: a name has 4096 at most."""
_LARGEST_SIZE = 1 << 50
_MORE_HOLES, _MORE_OF_MORE_HOLES = 482, 504
"""Where a header, and a block after it, say that another block with holes follows."""


class Member(NamedTuple):
    """A member of an archive; untrusted."""

    path: str
    """As it stands there; a name that is not UTF-8 has surrogates."""
    kind: str
    target: str
    """Of a link."""
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of its content in the archive."""
    number: int
    """How many members stand before it."""
    has_holes: bool = False
    """Its content in the archive is not what the file has."""


class TarReader:
    """Yields the members of an archive, which comes in pieces, none of them empty; raises Malformed."""

    def __init__(self, pieces: Iterator[bytes], skip: Callable[[int], object] | None = None) -> None:
        """`skip` passes over so many bytes of what comes next, where nobody has to read them."""
        self._pieces = pieces
        self._pass_over = skip
        self._buffer, self._at = b"", 0
        self._before = 0
        """Bytes of the archive before the buffer."""
        self._left = 0
        """Bytes of the member's content that have not been read, without what fills up its last block."""
        self._filling = 0

    @property
    def position(self) -> int:
        """Where in the archive the content of the member begins that was yielded last, unless it has been read."""
        return self._before + self._at

    def content(self, largest: int) -> bytes:
        """Return the content of the member that was yielded last; raises Malformed if it has more than `largest`."""
        if self._left > largest:
            raise Malformed(f"a file has {self._left} bytes, and {largest} are expected at most")
        size, self._left = self._left, 0
        return self._taken(size)

    def __iter__(self) -> Iterator[Member]:
        number = 0
        for_all: dict[str, bytes] = {}
        extended: dict[str, bytes] = {}
        while (header := self._next_header()) is not None:
            kind = header[156:157]
            size = _number(header[124:136], "size")
            if kind in {_PAX, _PAX_FOR_ALL, _LONG_NAME, _LONG_LINK}:
                if size > _LARGEST_HEADER:
                    raise Malformed(f"an extended header has {size} bytes")
                data = self._taken(size)
                self._skip(-size % BLOCK)
                if kind == _PAX_FOR_ALL:
                    for_all |= _records(data)
                elif kind == _PAX:
                    extended |= _records(data)
                else:
                    key = "path" if kind == _LONG_NAME else "linkpath"
                    extended.setdefault(key, data.partition(b"\0")[0])
                continue
            member = _member(header, {**for_all, **extended}, size, number)
            if kind[0] == _HOLES:
                self._skip_holes(header)
            extended = {}
            number += 1
            self._left, self._filling = member.size, -member.size % BLOCK
            yield member

    def _next_header(self) -> bytes | None:
        """Return the next header, or None at the end of the archive."""
        self._skip(self._left + self._filling)
        self._left = self._filling = 0
        header = self._taken(BLOCK, may_end=True)
        if not header:
            return None
        if not any(header):
            if any(self._taken(BLOCK, may_end=True)):
                raise Malformed("something follows the end of the archive")
            return None
        total = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
        if _number(header[148:156], "sum") != total:
            raise Malformed("a header has another sum than it says")
        return header

    def _skip_holes(self, header: bytes) -> None:
        has_more = header[_MORE_HOLES]
        while has_more:
            has_more = self._taken(BLOCK)[_MORE_OF_MORE_HOLES]

    def _taken(self, size: int, *, may_end: bool = False) -> bytes:
        """Return the next bytes; with `may_end` none at the end of the archive."""
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        if len(data) == size:
            return data
        waiting, missing = [data], size - len(data)
        while missing:
            if not self._fill():
                if may_end and missing == size:
                    return b""
                raise Malformed("the archive ends too early")
            self._at = min(missing, len(self._buffer))
            waiting.append(self._buffer[: self._at])
            missing -= self._at
        return b"".join(waiting)

    def _skip(self, size: int) -> None:
        self._at += size
        while self._at > len(self._buffer):
            beyond = self._at - len(self._buffer)
            if self._pass_over is not None:
                self._pass_over(beyond)
                self._before, self._buffer, self._at = self.position, b"", 0
                return
            if not self._fill():
                raise Malformed("the archive ends too early")
            self._at = beyond

    def _fill(self) -> bool:
        """Take the next piece, and return whether there is one."""
        self._before += len(self._buffer)
        self._buffer, self._at = next(self._pieces, b""), 0
        return bool(self._buffer)


def _member(header: bytes, extended: Mapping[str, bytes], size: int, number: int) -> Member:
    kind = _KINDS.get(header[156])
    if kind is None:
        raise Malformed(f"a member has the unknown type {header[156:157]!r}")
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = _text(header[345:500]) + b"/" + name
    name = extended.get("GNU.sparse.name", extended.get("path", name))
    if kind == FILE and name.endswith(b"/") and header[156] in b"0\0":
        kind = DIRECTORY
    target = extended.get("linkpath", _text(header[157:257])) if kind in {HARD_LINK, SYMBOLIC_LINK} else b""
    has_content = header[156] in _WITH_CONTENT
    return Member(
        name.decode(errors="surrogateescape"),
        kind,
        target.decode(errors="surrogateescape"),
        _number(header[100:108], "mode") & 0o7777,
        _decimal(extended, "uid", _number(header[108:116], "owner")),
        _decimal(extended, "gid", _number(header[116:124], "group")),
        _decimal(extended, "size", size) if has_content else 0,
        number,
        has_holes=header[156] == _HOLES or any(key.startswith(_OF_HOLES) for key in extended),
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes, name: str) -> int:
    """Return the number in a field: octal digits, or in base 256 behind a byte of 128 or 255."""
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big") + ((field[0] & 0x7F) << (8 * (len(field) - 1)))
    else:
        digits = field.replace(b"\0", b" ").strip() or b"0"
        if not all(48 <= digit < 56 for digit in digits):  # noqa: PLR2004  # the octal digits
            raise Malformed(f"a header's {name} is no number")
        value = int(digits, 8)
    if value > _LARGEST_SIZE:
        raise Malformed(f"a header's {name} is too large")
    return value


def _decimal(extended: Mapping[str, bytes], key: str, otherwise: int) -> int:
    text = extended.get(key)
    if text is None:
        return otherwise
    if not text.isdigit() or len(text) > 16 or int(text) > _LARGEST_SIZE:  # noqa: PLR2004  # digits of 2 to the 50th
        raise Malformed(f"an extended header's `{key}` is no number")
    return int(text)


def _records(data: bytes) -> dict[str, bytes]:
    """Return the lines `LENGTH KEY=VALUE` of an extended header whose keys matter; of holes, that it speaks of them."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or not record.endswith(b"\n") or at + length > len(data):
            raise Malformed("an extended header has a line that is none")
        name = key.decode(errors="replace")
        if name in _READ:
            found[name] = value
        elif name.startswith(_OF_HOLES):
            found[_OF_HOLES] = b""
        at += length
    return found
