"""The programs of a Docker engine, its client, Compose v2 and buildx, from Debian's packages.

    bin/docker                 the client
    cli-plugins/docker-*       Compose and buildx
    libexec/dockerd, …         what the engine starts, found on its PATH

They run on Debian 12 and later: all of Debian 13's programs need libc 2.34, except runc, which is Debian 12's therefore.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import debian
from tests.support.debian import Apt
from tests.support.roots import Root

__all__ = ["ROOT"]

_PACKAGES = ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx", "tini", "runc/bookworm")
_PLACES = {
    "usr/bin/docker": "bin/docker",
    "usr/libexec/docker/cli-plugins/docker-compose": "cli-plugins/docker-compose",
    "usr/libexec/docker/cli-plugins/docker-buildx": "cli-plugins/docker-buildx",
    "usr/sbin/dockerd": "libexec/dockerd",
    "usr/sbin/docker-proxy": "libexec/docker-proxy",
    "usr/bin/containerd": "libexec/containerd",
    "usr/bin/containerd-shim-runc-v2": "libexec/containerd-shim-runc-v2",
    "usr/sbin/runc": "libexec/runc",
    "usr/bin/tini-static": "libexec/docker-init",
}


def _make(made: Path, scratch: Path) -> None:
    with Apt("trixie", "bookworm") as apt:
        apt.unpack(_PACKAGES, scratch)
    for source, place in _PLACES.items():
        (made / place).parent.mkdir(exist_ok=True)
        shutil.move(scratch / source, made / place)


ROOT = Root(_make, (Path(__file__), Path(debian.__file__)))
