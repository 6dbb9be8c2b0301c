"""Makes conda packages: archives (.conda, .tar.bz2) of a tree of files, with what `info/` says of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["PLACEHOLDER", "SUBDIR", "TIMESTAMP", "CondaPackage", "File", "Link", "package", "tree"]

PLACEHOLDER = ("/home/build/prefix" + "_placehold" * 25)[:255]
"""The prefix that stands in the files of packages until they are installed; no prefix may be longer."""
SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(os.uname().machine, "linux-64")
"""Conda's name of the system that the tests run on."""
_EPOCH = (2020, 1, 1, 0, 0, 0)
TIMESTAMP = 1_577_836_800
"""The time of every file in a package, in seconds."""
_LEVEL = 3


class File(NamedTuple):
    """A file of a package."""

    content: bytes
    executable: bool = False


class Link(NamedTuple):
    """A symbolic link of a package."""

    target: str


@dataclass(frozen=True)
class CondaPackage:
    """A finished package."""

    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    content: bytes
    index: Mapping[str, Any]
    """Its `info/index.json`."""

    @property
    def sha256(self) -> str:
        """The hash of the archive, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """What a channel's repodata says of it."""
        digest = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        return {**self.index, "md5": digest, "sha256": self.sha256, "size": len(self.content)}


def package(
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes | File | Link] | None = None,
    *,
    build: str = "0",
    subdir: str = SUBDIR,
    depends: Sequence[str] = (),
    noarch: str | None = None,
    entry_points: Sequence[str] = (),
    paths: Sequence[Mapping[str, Any]] = (),
    info: Mapping[str, str | bytes] | None = None,
    python_site_packages_path: str | None = None,
    archive: str = "conda",
) -> CondaPackage:
    """Return a package of `files`, by their paths below the prefix; those with `PLACEHOLDER` in them are marked so.

    Text that begins with `#!`, and ELF files, are executable. `noarch` is `python` or `generic`, and `entry_points` are
    `command = module:function`. `paths` are entries of paths.json that are added, or replace those of the same path;
    `info` does the same for the files of `info/`. `archive` is `conda` or `tar.bz2`.
    """
    members = {path: _member(content) for path, content in sorted((files or {}).items())}
    listed = {path: _listed(path, member) for path, member in members.items()}
    listed.update({entry["_path"]: dict(entry) for entry in paths})
    index: dict[str, Any] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "subdir": "noarch" if noarch else subdir,
        "depends": list(depends),
        "license": "MIT",
        "timestamp": TIMESTAMP * 1000,
    }
    index |= {"noarch": noarch} if noarch else dict(zip(("platform", "arch"), _platform(subdir), strict=True))
    index |= {"python_site_packages_path": python_site_packages_path} if python_site_packages_path else {}
    about: dict[str, Any] = {
        "info/index.json": index,
        "info/paths.json": {"paths": list(listed.values()), "paths_version": 1},
        "info/about.json": {"license": "MIT", "summary": f"{name}, made for a test"},
    }
    if noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
        about["info/link.json"] = link
    infos = {path: File(json.dumps(value, indent=1).encode()) for path, value in about.items()}
    infos["info/files"] = File("".join(f"{path}\n" for path in listed).encode())
    infos |= {f"info/{path}": File(_bytes(content)) for path, content in (info or {}).items()}
    stem = f"{name}-{version}-{build}"
    content = _conda(stem, infos, members) if archive == "conda" else _packed({**infos, **members}, "w:bz2")
    return CondaPackage(name, version, build, index["subdir"], f"{stem}.{archive}", content, index)


def tree(directory: Path) -> dict[str, File | Link]:
    """Return all files and links below a directory, by their paths."""
    members: dict[str, File | Link] = {}
    for above, directories, names in os.walk(directory):
        links = [name for name in directories if os.path.islink(f"{above}/{name}")]
        for name in [*names, *links]:
            path = f"{above}/{name}"
            below = os.path.relpath(path, directory)
            if os.path.islink(path):
                members[below] = Link(os.readlink(path))
            else:
                with open(path, "rb") as file:
                    members[below] = File(file.read(), os.access(path, os.X_OK))
    return members


def _platform(subdir: str) -> tuple[str, str]:
    system, _, machine = subdir.partition("-")
    return system, {"64": "x86_64"}.get(machine, machine)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _member(content: str | bytes | File | Link) -> File | Link:
    if isinstance(content, File | Link):
        return content
    raw = _bytes(content)
    return File(raw, raw.startswith((b"#!", b"\x7fELF")))


def _listed(path: str, member: File | Link) -> dict[str, Any]:
    """Return the entry of paths.json for a file or a link."""
    if isinstance(member, Link):
        return {"_path": path, "path_type": "softlink", "sha256": hashlib.sha256(b"").hexdigest(), "size_in_bytes": 0}
    entry: dict[str, Any] = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(member.content).hexdigest(),
    }
    entry["size_in_bytes"] = len(member.content)
    if PLACEHOLDER.encode() in member.content:
        mode = "binary" if b"\0" in member.content else "text"
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": mode}
    return entry


def _conda(stem: str, infos: Mapping[str, File], members: Mapping[str, File | Link]) -> bytes:
    from backports import zstd

    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        parts = {
            "metadata.json": b'{"conda_pkg_format_version": 2}',
            f"pkg-{stem}.tar.zst": zstd.compress(_packed(members, "w"), level=_LEVEL),
            f"info-{stem}.tar.zst": zstd.compress(_packed(infos, "w"), level=_LEVEL),
        }
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return whole.getvalue()


def _packed(members: Mapping[str, File | Link], mode: Any) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for path, member in members.items():
            entry = tarfile.TarInfo(path)
            entry.mtime = TIMESTAMP
            if isinstance(member, Link):
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, member.target, 0o777
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(member.content), 0o775 if member.executable else 0o664
                archive.addfile(entry, io.BytesIO(member.content))
    return packed.getvalue()
