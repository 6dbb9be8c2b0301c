"""The files that every image has beside its packages: accounts, certificates, time zones, a shell, and directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.ship.base.facts import TIME_ZONES
from esker.ship.content.accounts import group_file, passwd_file
from esker.ship.content.nix_environment import program
from esker.ship.content.places import CACHE, CONDA, PYTHON, RUNTIME, above, between
from esker.ship.image.unit import Directory, File, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from esker.ship.content.c_library import CLibrary
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.content.nix_environment import NixEnvironment
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.image.unit import Entry

__all__ = ["CERTIFICATES", "beside_files", "certificates", "usual_files"]

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where most programs look for certificate authorities."""
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\n"
_SHELLS = ("bin/bash", "bin/dash", "bin/busybox")
_TEMPORARY = 0o1777


def certificates(conda: CondaContent | None, packages: PythonPackages | None) -> str | None:
    """Return where certificate authorities lie in the image: those of conda's `ca-certificates`, or of `certifi`."""
    return _of_packages(conda, "ssl/cacert.pem", packages, "certifi/cacert.pem")


def _time_zones(conda: CondaContent | None, packages: PythonPackages | None) -> str | None:
    """Return the directory of time zones in the image: that of conda's `tzdata`, or of the wheel `tzdata`."""
    utc = _of_packages(conda, "share/zoneinfo/UTC", packages, "tzdata/zoneinfo/UTC")
    return utc and utc.removesuffix("/UTC")


def _of_packages(
    conda: CondaContent | None, path: str, packages: PythonPackages | None, path_in_wheel: str
) -> str | None:
    """Return where the image has a file of conda's, or else of a wheel."""
    if conda and conda.place(path):
        return f"{CONDA}/{path}"
    inner = f"{packages.libraries}/{path_in_wheel}" if packages else ""
    return f"{PYTHON}/{inner}" if packages and inner in packages.paths() else None


def _shell(conda: CondaContent | None) -> str | None:
    """Return the place of conda's shell that `/bin/sh` leads to."""
    return next((f"{CONDA}/{each}" for each in _SHELLS if conda and conda.place(each)), None)


def usual_files(
    container: ContainerSettings,
    library: CLibrary | None,
    conda: CondaContent | None,
    packages: PythonPackages | None,
    nix: NixEnvironment | None,
    taken: Collection[str],
) -> list[Entry]:
    """Return the entries; `taken` are paths at which the project has files, or something is prepared."""
    user = container.user
    env = f"{CONDA}/bin/env" if conda and conda.place("bin/env") else None
    leading = {
        "/bin/sh": _shell(conda) or program(nix, "sh") or program(nix, "bash"),
        "/usr/bin/env": env or program(nix, "env"),
        CERTIFICATES: certificates(conda, packages),
        TIME_ZONES: _time_zones(conda, packages),
    }
    entries: list[Entry] = [SymbolicLink(place, between(place, target)) for place, target in leading.items() if target]
    entries += [SymbolicLink(place, target) for place, target in (library.links if library else {}).items()]
    entries += [
        File("/etc/passwd", passwd_file(user)),
        File("/etc/group", group_file(user)),
        File("/etc/nsswitch.conf", _NSSWITCH),
        Directory("/tmp", _TEMPORARY),  # noqa: S108  # a place in the image
    ]
    own = [user.home, CACHE, RUNTIME, *container.volumes]
    own += [container.working_dir] if container.working_dir else []
    places = {entry.path for entry in entries}
    entries += [
        Directory(path, 0o755, user.uid, user.gid)
        for path in dict.fromkeys(own)
        if path not in places and path not in taken and path != "/"
    ]
    return entries


def beside_files(usual: Iterable[Entry], files: Iterable[Entry]) -> list[Entry]:
    """Return the usual entries beside files of the project, each of which takes the place of a usual one.

    Raises ImageError for a file below a usual file or link, or in the place of a directory that one lies in.
    """
    own = {entry.path for entry in files}
    directories = {directory for path in own for directory in above(path)}
    left = [entry for entry in usual if entry.path not in own]
    for entry in left:
        hidden = own.intersection(above(entry.path))
        if entry.path in directories and not isinstance(entry, Directory):
            hidden = {path for path in own if path.startswith(f"{entry.path}/")}
        if hidden:
            raise ImageError(
                f"`{min(hidden)}` of the project and `{entry.path}`, which the image has by itself, cannot both be "
                "there: one is below the other",
                hint="name another place in `files` of [plugins.esker.image]",
            )
    return left
