"""What a conda lock is made from: channels, specs, systems, and what is assumed of the machines of each system."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from esker.formats.systems import declared_systems
from esker.lock.pythons import allowed_pythons

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.declare.declaration import Declaration, SystemRequirements

__all__ = ["CondaInputs", "conda_inputs"]

_LINUX, _GLIBC, _MACOS = "4.18", "2.28", "13.0"
"""What machines have at least, unless the manifest says otherwise: pixi assumes the same."""
_ARCHSPEC = {"aarch64-darwin": "m1", "aarch64-linux": "aarch64", "x86_64-darwin": "x86_64", "x86_64-linux": "x86_64"}


class CondaInputs(NamedTuple):
    """What a conda lock is made from."""

    channels: tuple[str, ...]
    """Names or addresses, by priority."""
    specs: Mapping[str, tuple[str, ...]]
    """By system: what is declared for it, sorted."""
    machines: Mapping[str, tuple[str, ...]]
    """By system: its virtual packages, each as `NAME=VERSION=BUILD`."""
    constraints: tuple[str, ...] = ()
    """Specs that packages have to fit if they are there at all."""

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that are locked for, sorted."""
        return tuple(self.specs)

    def digest(self) -> str:
        """Return `sha256:` and the digest of all this in hexadecimal."""
        text = json.dumps([self.channels, self.specs, self.machines, self.constraints], sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def conda_inputs(declaration: Declaration, system: str, locked: Iterable[str] = ()) -> CondaInputs | None:
    """Return what the conda lock of a declaration is made from; None if it declares no conda packages.

    A manifest that declares no systems is locked for the default ones and for this machine's `system`; the systems that
    other machines have added to the lock (`locked`) stay.
    """
    table = declaration.esker.conda
    if table is None:
        return None
    declared = declaration.manifest.options.systems
    systems = declared_systems(declared, system)
    if declared is None:
        systems = tuple(sorted({*systems, *locked}))
    return CondaInputs(
        channels=table.channels,
        specs={each: tuple(sorted(set(table.specs_for(each)))) for each in systems},
        machines={each: tuple(_virtual_packages(each, table.system_requirements)) for each in systems},
        constraints=_constraints(declaration),
    )


def _constraints(declaration: Declaration) -> tuple[str, ...]:
    """Return the spec of the Pythons that wheels are locked for, if wheels are declared."""
    if declaration.esker.python is None:
        return ()
    limits = []
    for specifier in allowed_pythons(declaration).versions:
        is_prefix = specifier.operator == "==" and specifier.version.endswith(".*")  # conda writes it without operator
        limits.append(specifier.version if is_prefix else f"{specifier.operator}{specifier.version}")
    return (f"python {','.join(sorted(limits))}",) if limits else ()


def _virtual_packages(system: str, stated: SystemRequirements) -> Iterable[str]:
    """Yield what is assumed of every machine of a system, also of this one: a lock depends on no machine."""
    if system.endswith("-linux"):
        yield f"__linux={stated.linux or _LINUX}=0"
        yield f"__glibc={stated.libc or _GLIBC}=0"
    else:
        yield f"__osx={stated.macos or _MACOS}=0"
    yield "__unix=0=0"
    yield f"__archspec=1={stated.archspec or _ARCHSPEC[system]}"
    if stated.cuda is not None:
        yield f"__cuda={stated.cuda}=0"
