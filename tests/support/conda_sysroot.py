"""What an image needs below the programs of `conda_debian`: a C library as conda's `sysroot_linux-*`, and bash.

The C library keeps the layout that it has in Debian, below `TRIPLET/sysroot`: conda-forge's lies there too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import conda_debian, conda_package
from tests.support.conda_debian import _relocated, _run, _unpack, load, save
from tests.support.conda_package import SUBDIR, CondaPackage, Link, package, tree
from tests.support.roots import Root

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "SYSROOT", "sysroot_packages"]

SYSROOT = f"sysroot_{SUBDIR}"
"""The name of the package with the C library."""
_MACHINE = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}[SUBDIR]
_LIBRARIES = f"lib/{_MACHINE}-linux-gnu"
_LOADERS = {"x86_64": "lib64/ld-linux-x86-64.so.2", "aarch64": "lib/ld-linux-aarch64.so.1"}
_PROGRAMS = {
    "bash": (("bash",), ("libtinfo6",)),
    "coreutils": (("coreutils", "libselinux1", "libacl1", "libattr1"), ("libpcre2-8-0", "libgmp10")),
}
"""The Debian packages of each program, and the packages of `conda_debian` that it needs."""


def sysroot_packages() -> list[CondaPackage]:
    """Return the packages, from the cache if they are there."""
    return load(ROOT.path())


def _made(scratch: Path) -> Iterator[CondaPackage]:
    names = sorted({"libc6", *(name for names, _ in _PROGRAMS.values() for name in names)})
    _run(["apt-get", "download", "-qq", *names], cwd=scratch)
    archives = {file.name.partition("_")[0]: file for file in scratch.glob("*.deb")}
    _unpack(archives["libc6"], scratch / "libc6.tree")
    files = {}
    for path, member in tree(scratch / "libc6.tree").items():
        if not path.startswith("usr/") and "/" in path and path.startswith("lib"):
            files[f"{_MACHINE}-conda-linux-gnu/sysroot/{path}"] = member
    loader = _LOADERS[_MACHINE]
    target = os.path.relpath(f"{_LIBRARIES}/{os.path.basename(loader)}", os.path.dirname(loader))
    files[f"{_MACHINE}-conda-linux-gnu/sysroot/{loader}"] = Link(target)
    version = _run(["dpkg-deb", "-f", str(archives["libc6"]), "Version"]).partition("-")[0].strip()
    yield package(SYSROOT, version, files, noarch="generic")
    for name, (debian, depends) in _PROGRAMS.items():
        unpacked = scratch / f"{name}.tree"
        for each in debian:
            _unpack(archives[each], unpacked)
        yield package(name, "1.0", _relocated(unpacked, {}, absolute=False), depends=depends)
        shutil.rmtree(unpacked)


def _save_packages(made: Path, scratch: Path) -> None:
    save(_made(scratch), made)


ROOT = Root(_save_packages, (Path(__file__), Path(conda_debian.__file__), Path(conda_package.__file__)))
