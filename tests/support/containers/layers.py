"""A layer of an image: files by their paths, kept in memory until they are a tar archive in which all is root's."""

from __future__ import annotations

import io
import tarfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Layer"]


class Layer:
    """Files, links and directories; a later one of the same path takes the place of an earlier one."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def add_archive(self, file: IO[bytes]) -> None:
        """Add what an uncompressed tar archive holds; two directories of one path are one."""
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                member.name = member.name.removeprefix("./").rstrip("/")
                earlier = self._members.get(member.name)
                if member.name in ("", ".") or (member.isdir() and earlier is not None):
                    continue
                content = archive.extractfile(member) if member.isfile() else None
                self._members[member.name] = member, content.read() if content else b""

    def read(self, path: str) -> bytes:
        """Return the content of a file, also through links within its directory."""
        member, content = self._members[path]
        return self.read(f"{path.rpartition('/')[0]}/{member.linkname}") if member.issym() else content

    def paths(self, start: str = "") -> Iterator[str]:
        """Yield the paths that begin with a text."""
        yield from [path for path in self._members if path.startswith(start)]

    def write(self, path: str, content: bytes | str, *, mode: int = 0o644) -> None:
        """Put a file there."""
        member = tarfile.TarInfo(path)
        member.mode = mode
        self._members[path] = member, content.encode() if isinstance(content, str) else content

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link there."""
        member = tarfile.TarInfo(path)
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._members[path] = member, b""

    def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Put an empty directory there."""
        member = tarfile.TarInfo(path)
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._members[path] = member, b""

    def copy(self, source: Path, path: str) -> None:
        """Put a file or a directory of this machine there."""
        if source.is_dir():
            for each in sorted(source.iterdir()):
                self.copy(each, f"{path}/{each.name}")
        else:
            self.write(path, source.read_bytes(), mode=source.stat().st_mode & 0o777)

    def remove(self, start: str) -> None:
        """Take out everything whose path begins with a text."""
        for path in self.paths(start):
            del self._members[path]

    def archive(self) -> bytes:
        """Return the tar archive, the same for the same files."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            # A hard link comes after the file that it is another name of.
            for path in sorted(self._members, key=lambda path: (self._members[path][0].islnk(), path)):
                member, content = self._members[path]
                member.linkname = member.linkname.removeprefix("./") if member.islnk() else member.linkname
                member.uid = member.gid = 0
                member.uname = member.gname = "root"
                member.mtime = 1
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return packed.getvalue()
