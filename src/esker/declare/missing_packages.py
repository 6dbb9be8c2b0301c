"""What people are told about packages of `[install]` that are not on this machine.

An activation that leaves packages out imports this module, so the formats are imported where they are needed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from esker.formats.abridged import abridged
from esker.formats.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.formats.manifest import Package

__all__ = ["WITHOUT", "counted_packages", "known_wheels", "named", "origins"]

WITHOUT = "esker activate --without-packages"
"""The command that goes on without them."""
_MOST = 6


def named(names: Sequence[str]) -> str:
    """Return the first few names and the number of the others, as a sentence has them.

    >>> named(["bun", "just", "uv"])
    '`bun`, `just` and `uv`'
    """
    return _listed([f"`{name}`" for name in names])


def counted_packages(names: Sequence[str]) -> str:
    """Return the number of packages, such as `3 packages of [install]`."""
    return counted(len(names), "package of [install]", "packages of [install]")


def origins(install: Mapping[str, Package], names: Sequence[str]) -> str:
    """Return how many of the named packages come from where, such as `all from Flox's catalogue`."""
    from esker.formats.manifest import CatalogPackage, FlakePackage

    def kind(package: Package | None) -> tuple[str, str]:
        if isinstance(package, CatalogPackage):
            return "from Flox's catalogue", "from Flox's catalogue"
        return ("from a flake", "from flakes") if isinstance(package, FlakePackage) else ("a store path", "store paths")

    counts = Counter(kind(install.get(name)) for name in names)
    told = [(number, forms[number > 1]) for forms, number in counts.most_common()]
    if len(told) == 1:
        return f"all {told[0][1]}" if len(names) > 1 else told[0][1]
    return ", ".join(f"{number} {form}" for number, form in told)


def known_wheels(install: Mapping[str, Package], names: Sequence[str], *, replaceable: bool) -> str:
    """Return the end of a hint that names the wheels of those packages that a known wheel carries; nothing if none is.

    With `replaceable`, it also says how to take such a wheel: that works only if all other packages stay locked.
    """
    wheels = dict(_wheels(install, names))
    if not wheels:
        return ""
    some = "a known wheel carries" if len(wheels) == 1 else "known wheels carry"
    listed = _listed([f"`{name}` (pypi/{wheel})" for name, wheel in wheels.items()])
    if not replaceable:
        return f"; {some} {listed}"
    name, wheel = next(iter(wheels.items()))
    example = f"esker uninstall {name}, then esker install pypi/{wheel}"
    return f"; {some} {listed}: {example}"


def _wheels(install: Mapping[str, Package], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    from esker.declare.tool_wheels import wheel_of_package
    from esker.formats.manifest import CatalogPackage

    for name in names:
        package = install.get(name)
        wheel = wheel_of_package(package.pkg_path) if isinstance(package, CatalogPackage) else None
        if wheel is not None:
            yield name, wheel


def _listed(words: Sequence[str]) -> str:
    first, others = abridged(words, _MOST)
    shown = [*first, *([f"{others} more"] if others else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
