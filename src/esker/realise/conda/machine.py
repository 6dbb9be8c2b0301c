"""Whether this machine has what conda packages ask of one: a version of glibc, of the kernel, of macOS, or of CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.formats.printable import printable
from esker.host.rattler import require_rattler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.conda.locked_package import LockedCondaPackage

__all__ = ["check_machine"]

_CHECKED = {"__cuda", "__glibc", "__linux", "__osx"}


def check_machine(packages: Sequence[LockedCondaPackage]) -> None:
    """Raise RealisationFailed, which names package and property, if a package cannot run on this machine."""
    asked = [(package, spec) for package in packages for spec in package.depends if spec.partition(" ")[0] in _CHECKED]
    if not asked:
        return
    require_rattler()
    from rattler import MatchSpec, VirtualPackage
    from rattler.version import VersionSpec

    detected = (each.into_generic() for each in VirtualPackage.detect())
    here = {each.name.normalized: each.version for each in detected}
    for package, spec in asked:
        name = spec.partition(" ")[0]
        version = MatchSpec(spec).version
        if name in here and (version is None or VersionSpec(version).matches(here[name])):
            continue
        has = f"has {name} {here[name]}" if name in here else f"has no {name}"
        raise RealisationFailed(
            f"the conda package `{package.title}` needs {printable(spec)}, and this machine {has}",
            hint="take an older version of it, or state what the machines have in `system-requirements` of "
            "[plugins.esker.conda], and lock again",
        )
