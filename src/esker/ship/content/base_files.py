"""The files that every image has beside its packages: accounts, certificates, time zones, a shell, and directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.ship.content.accounts import group_file, passwd_file
from esker.ship.content.places import CACHE, CONDA, PYTHON, RUNTIME, between
from esker.ship.image.unit import Directory, File, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from esker.ship.content.c_library import CLibrary
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.image.unit import Entry

__all__ = ["CERTIFICATES", "base_files", "certificates", "first_of", "time_zones"]

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where most programs look for certificate authorities."""
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\n"
_SHELLS = ("bin/bash", "bin/dash", "bin/busybox")
_TEMPORARY = 0o1777


def first_of(paths: Collection[str], *choices: str) -> str | None:
    """Return the first of the paths that is there."""
    return next((each for each in choices if each in paths), None)


def certificates(conda: Collection[str], wheels: Collection[str], libraries: str) -> str | None:
    """Return where certificate authorities lie in the image: those of conda's `ca-certificates`, or of `certifi`."""
    if found := first_of(conda, "ssl/cacert.pem"):
        return f"{CONDA}/{found}"
    return f"{PYTHON}/{found}" if (found := first_of(wheels, f"{libraries}/certifi/cacert.pem")) else None


def time_zones(conda: Collection[str], wheels: Collection[str], libraries: str) -> str | None:
    """Return the directory of time zones in the image: that of conda's `tzdata`, or of the wheel `tzdata`."""
    if "share/zoneinfo/UTC" in conda:
        return f"{CONDA}/share/zoneinfo"
    inner = f"{libraries}/tzdata/zoneinfo"
    return f"{PYTHON}/{inner}" if f"{inner}/UTC" in wheels else None


def base_files(
    settings: ContainerSettings,
    library: CLibrary | None,
    links: Mapping[str, str | None],
    conda: Collection[str],
    taken: Collection[str],
) -> list[Entry]:
    """Return the entries; `links` are places with what they lead to, `taken` those where the project has files."""
    user = settings.user
    leading = {place: target for place, target in links.items() if target is not None}
    if shell := first_of(conda, *_SHELLS):
        leading["/bin/sh"] = f"{CONDA}/{shell}"
    if "bin/env" in conda:
        leading["/usr/bin/env"] = f"{CONDA}/bin/env"
    entries: list[Entry] = [SymbolicLink(place, between(place, target)) for place, target in leading.items()]
    entries += [SymbolicLink(place, target) for place, target in (library.links if library else {}).items()]
    entries += [
        File("/etc/passwd", passwd_file(user)),
        File("/etc/group", group_file(user)),
        File("/etc/nsswitch.conf", _NSSWITCH),
        Directory("/tmp", _TEMPORARY),  # noqa: S108  # a place in the image
    ]
    own = [user.home, CACHE, RUNTIME, *settings.volumes, *([settings.working_dir] if settings.working_dir else [])]
    places = {entry.path for entry in entries}
    entries += [
        Directory(path, 0o755, user.uid, user.gid)
        for path in dict.fromkeys(own)
        if path not in places and path not in taken and path != "/"
    ]
    return entries
