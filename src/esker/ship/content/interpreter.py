"""Which Python an image has: conda's, or one of uv's; and which Python of this machine compiles its modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from esker.errors import ImageError
from esker.host.interpreters import OneInterpreter
from esker.host.scratch import scratch
from esker.lock.conda.client import network
from esker.lock.pythons import allowed_pythons
from esker.realise.conda.prefix import conda_prefix
from esker.ship.content.compiler import compiler_for
from esker.ship.content.python import ImagePython, base_interpreter, conda_interpreter
from esker.ship.content.standalone import chosen_archive, standalone

if TYPE_CHECKING:
    from esker.formats.image_lock import LockedInput
    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.compiler import Compiler
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.making import Making
    from esker.ship.content.standalone import Standalone

__all__ = ["ImageInterpreter", "interpreter_of"]


class ImageInterpreter(NamedTuple):
    """The interpreter of an image."""

    python: ImagePython | None = None
    """What runs the wheels and the services; None if there are neither."""
    compiler: Compiler | None = None
    """None if nothing is to be compiled."""
    standalone: Standalone | None = None
    """An interpreter of uv's."""
    inputs: tuple[LockedInput, ...] = ()


def interpreter_of(
    making: Making, system: str, conda: CondaContent | None, base: PulledBase | None = None
) -> ImageInterpreter:
    """Return the interpreter of an image; raises ImageError if there are wheels and nothing that runs them."""
    has_wheels = making.declaration.esker.python is not None and making.lock.python is not None
    is_needed = has_wheels or making.table.services
    python = conda_interpreter(conda) if conda else None
    stated = making.table.python
    if stated is not None and python is not None:
        raise ImageError(
            f"`python` of [plugins.esker.image] states `{stated}` of the base, and {python.origin} is locked, too",
            hint="take one of the two out: `python`, or conda's python",
        )
    if python is not None:
        if not has_wheels and not making.table.byte_code:
            return ImageInterpreter(python if is_needed else None)
        compiler = _compiler(making, system, python.minor, python.magic)
        return ImageInterpreter(python if is_needed else None, compiler)
    if not is_needed:
        return ImageInterpreter()
    locked = str(making.lock.python.requires_python or "") if has_wheels and making.lock.python else ""
    limits = (allowed_pythons(making.declaration).specifier, locked, ">=3.11" if making.table.services else "")
    if stated is not None:
        assert base is not None, "the declaration states a Python of a base only with a base"
        python = base_interpreter(base, stated, SpecifierSet(",".join(filter(None, limits))))
        return ImageInterpreter(python, _compiler(making, system, python.minor, None))
    with scratch("python") as directory:
        archive = chosen_archive(making, system, ",".join(filter(None, limits)), directory)
        minor = ".".join(archive.version.split(".")[:2])
        compiler = _compiler(making, system, minor, None)
        made = standalone(making, archive, directory, compiler if making.table.byte_code else None)
    python = ImagePython(made.program, made.version, f"uv's CPython {made.version}", None)
    return ImageInterpreter(python, compiler, made, (archive.locked,))


def _compiler(making: Making, system: str, minor: str, magic: str | None) -> Compiler:
    settings, lock = making.settings, making.lock
    interpreters = settings.interpreters(making.progress)
    packages = lock.conda.packages.get(system, ()) if lock.conda and system == settings.system else ()
    if any(each.name == "python" for each in packages):  # its own Python runs here
        client = lambda: network(settings).client  # noqa: E731  # called only if something is missing
        prefix = conda_prefix(making.store, making.declaration.name, packages, client, settings, making.progress)
        interpreters = OneInterpreter(settings.tools, lambda: f"{prefix.path}/bin/python")
    return compiler_for(minor, interpreters, settings.tools, magic)
