"""The programs of a Docker engine, its client, Compose v2 and buildx, from Debian's packages.

    bin/docker                 the client
    cli-plugins/docker-*       Compose and buildx
    libexec/dockerd, …         what the engine starts, found on its PATH

They run on Debian 12 and later: all of Debian 13's programs need libc 2.34, except runc, which is Debian 12's therefore.
So is iptables, without which containers do not find each other by name: the engine redirects their questions to itself,
by rules in their own network namespaces.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import debian
from tests.support.debian import Apt
from tests.support.roots import Root

__all__ = ["ROOT"]

_PACKAGES = ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx", "tini", "runc/bookworm")
_PACKET_FILTER = (
    *("iptables", "libip4tc2", "libip6tc2", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0", "libnftnl11"),
    "libxtables12",
)
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
        (made / "iptables").mkdir()
        apt.unpack([f"{name}/bookworm" for name in _PACKET_FILTER], made / "iptables")
    for source, place in _PLACES.items():
        (made / place).parent.mkdir(exist_ok=True)
        shutil.move(scratch / source, made / place)
    (libraries,) = (path.parent for path in (made / "iptables/usr/lib").glob("*/xtables"))
    program = made / "libexec/iptables"
    program.write_text(
        f"#!/bin/sh\nexport LD_LIBRARY_PATH={_kept(libraries, made)} XTABLES_LIBDIR={_kept(libraries / 'xtables', made)}\n"
        f'exec {_kept(made / "iptables/usr/sbin/xtables-nft-multi", made)} iptables "$@"\n'
    )
    program.chmod(0o755)


def _kept(path: Path, made: Path) -> str:
    """Return how a script in `libexec` names a path, wherever the root is kept."""
    return f'"${{0%/*}}/../{path.relative_to(made)}"'


ROOT = Root(_make, (Path(__file__), Path(debian.__file__)))
