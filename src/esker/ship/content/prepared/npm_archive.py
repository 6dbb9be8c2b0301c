"""The archive of an npm package: unpacked as npm does it, but nothing of it is run.

The first directory of each path is left out, whatever its name is. Links are left out too, as npm does. A file is 0755
if its owner may execute it, else 0644. A path that leads out, a device, a bit that gives a user's rights, a path that
is there twice and an archive that is too large are refused.
"""

from __future__ import annotations

import gzip
import os
import posixpath
import re
import shutil
import stat
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

from esker.errors import ImageError
from esker.formats.printable import printable
from esker.formats.untrusted import json_value
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["has_install_script", "programs", "unpack"]

_MOST_MEMBERS = 200_000
_LARGEST_HEADER = 1 << 20
"""Bytes of what tells of a member beside its content; tarfile keeps it in memory."""
_LONGEST_PATH, _LONGEST_NAME = 3000, 255
"""Bytes, with room for the directory of the store."""
_SHOWN = 60
_SPECIAL = stat.S_ISUID | stat.S_ISGID
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_LARGEST_DESCRIPTION = 4 << 20


def unpack(path: str, directory: str, name: str, largest: int) -> None:
    """Unpack an archive into an empty directory; raises ImageError for one that is refused.

    `name` is that of the package, and `largest` the bytes that the unpacked archive may have.
    """
    try:
        with (
            gzip.open(path) as unpacked,
            tarfile.open(fileobj=cast("IO[bytes]", _Limited(unpacked, largest)), mode="r|", tarinfo=_Member) as archive,
        ):
            for number, member in enumerate(archive):
                if number >= _MOST_MEMBERS:
                    raise tarfile.TarError(f"it has more than {_MOST_MEMBERS} members")  # noqa: TRY301
                _unpack_member(archive, member, directory)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise ImageError(
            f"the archive of npm's `{name}` is refused: {printable(str(error))}",
            hint="take another version of the package, or ask its authors to mend it",
        ) from error


class _Limited:
    """A stream that ends in an error after so many bytes."""

    def __init__(self, stream: gzip.GzipFile, largest: int) -> None:
        self._stream = stream
        self._left = self._largest = largest

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {self._largest} bytes")
        return data


class _Member(tarfile.TarInfo):
    """A member whose extended header is not read if it is too large."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        kinds = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME}
        if member.type in {*kinds, tarfile.GNUTYPE_LONGLINK} and member.size > _LARGEST_HEADER:
            raise ValueError(f"a header has {member.size} bytes")
        return member


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: str) -> None:
    names = [each for each in member.name.split("/") if each not in {"", "."}]
    if member.name.startswith("/") or ".." in names or "\0" in member.name:
        raise tarfile.TarError(f"`{member.name}` leads out of the package")
    if len(os.fsencode(member.name)) > _LONGEST_PATH or any(len(os.fsencode(name)) > _LONGEST_NAME for name in names):
        raise tarfile.TarError(f"`{member.name[:_SHOWN]}…` is too long a name")
    if member.issym() or member.islnk():
        return
    if not member.isfile() and not member.isdir():
        raise tarfile.TarError(f"`{member.name}` is neither a file, a directory nor a link")
    if member.mode & _SPECIAL and member.isfile():
        raise tarfile.TarError(f"`{member.name}` would give the rights of another user (mode {member.mode:04o})")
    if member.isdir() or len(names) < 2:  # noqa: PLR2004  # the first directory, and the file in it
        return
    content = archive.extractfile(member)
    if content is None or member.issparse():
        raise tarfile.TarError(f"`{member.name}` has no content")
    path = "/".join((directory, *names[1:]))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            shutil.copyfileobj(content, file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise tarfile.TarError(f"`{member.name}` is there twice") from error
    os.chmod(path, 0o755 if member.mode & stat.S_IXUSR else 0o644)


def programs(tree: str) -> Mapping[str, str]:
    """Return the commands of an unpacked package, each with the path of its program in it.

    That is what `bin` in its `package.json` says; what names no file of the package, or is no name, does not count.
    """
    value = _description(tree)
    declared = value.get("bin")
    if isinstance(declared, str):
        declared = {str(value.get("name", "")): declared}
    found = {}
    for name, path in declared.items() if isinstance(declared, dict) else ():
        command = posixpath.basename(name)
        inner = posixpath.normpath(f"/{path}").lstrip("/") if isinstance(path, str) else ""
        if inner and _COMMAND.fullmatch(command) and os.path.isfile(f"{tree}/{inner}"):
            found[command] = inner
    return dict(sorted(found.items()))


def has_install_script(tree: str) -> bool:
    """Return whether npm would run a script of an unpacked package when it installs it, as npm's locks say it."""
    value = _description(tree)
    scripts = value.get("scripts")
    named = scripts.keys() if isinstance(scripts, dict) else set()
    if {"preinstall", "install", "postinstall"} & named:
        return True
    return os.path.isfile(f"{tree}/binding.gyp") and value.get("gypfile") is not False


def _description(tree: str) -> dict[str, Any]:
    """Return the `package.json` of an unpacked package; empty if there is none that can be read."""
    path = f"{tree}/package.json"
    if not os.path.isfile(path):
        return {}
    try:
        value: Any = json_value(files.read(path, limit=_LARGEST_DESCRIPTION).removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
