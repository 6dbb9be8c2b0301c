"""The Python of an image, and the environment that its wheels are installed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.realise import pip_refusal
from esker.realise.byte_code import NO_BYTE_CODE
from esker.ship.content.places import CONDA, PYTHON, between
from esker.ship.image.unit import File, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Collection

    from packaging.specifiers import SpecifierSet

    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.conda import CondaContent
    from esker.ship.image.unit import Entry

__all__ = ["ImagePython", "base_interpreter", "conda_interpreter", "python_environment"]


class ImagePython(NamedTuple):
    """The interpreter of an image."""

    program: str
    """Its place in the image."""
    version: str
    origin: str
    """What a person reads of where it comes from."""
    magic: str | None
    """How the byte code begins that it brings, in hexadecimal; None if it brings none."""

    @property
    def minor(self) -> str:
        """Major and minor version, such as `3.12`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def libraries(self) -> str:
        """Where packages lie below the prefix of an environment."""
        return f"lib/python{self.minor}/site-packages"


def conda_interpreter(content: CondaContent) -> ImagePython | None:
    """Return the Python of conda's packages, or None if they have none."""
    if content.python is None:
        return None
    package = content.python.package
    return ImagePython(
        f"{CONDA}/{content.python.program}", package.version, f"conda/python {package.version}", _magic(content)
    )


def base_interpreter(base: PulledBase, stated: str, versions: SpecifierSet) -> ImagePython:
    """Return the Python of a base that is stated; raises ImageError unless its version is among those of the lock."""
    version = base.facts.python
    if not versions.contains(version):
        raise ImageError(
            f"`{stated}` of the base `{base.name}` is Python {version}, and the environment is locked for {versions}",
            hint="take a base with such a Python, or lock for this one; or leave `python` of [plugins.esker.image] "
            "out, and take conda's (esker install conda/python) or one of uv's",
        )
    return ImagePython(stated, version, f"Python {version} of the base ({stated})", None)


def _magic(content: CondaContent) -> str | None:
    for path, place in content.plan.places.items():
        if path.endswith(".pyc") and place.content is None and content.packages[place.owner].package.name == "python":
            with open(f"{content.packages[place.owner].path}/{place.source}", "rb") as file:
                return file.read(4).hex()
    return None


def python_environment(python: ImagePython, files: Collection[str], source: Collection[str]) -> list[Entry]:
    """Return what the Python environment consists of without its packages.

    `files` are what wheels put into it, and `source` the directories of the image that are on Python's path.
    """
    program = f"{PYTHON}/bin/python"
    entries: list[Entry] = [
        SymbolicLink(program, between(program, python.program)),
        *(SymbolicLink(f"{PYTHON}/bin/{name}", "python") for name in ("python3", f"python{python.minor}")),
        File(f"{PYTHON}/pyvenv.cfg", _configuration(python).encode()),
        File(f"{PYTHON}/{python.libraries}/esker-store.pth", NO_BYTE_CODE.encode()),
    ]
    if source:
        lines = "".join(f"{path}\n" for path in source)
        entries.append(File(f"{PYTHON}/{python.libraries}/esker-source.pth", lines.encode()))
    if not any(path.startswith(f"{python.libraries}/pip") for path in files):
        entries.append(File(f"{PYTHON}/{python.libraries}/pip.py", pip_refusal.MODULE.encode()))
    return entries


def _configuration(python: ImagePython) -> str:
    return (
        f"home = {python.program.rpartition('/')[0]}\n"
        "implementation = CPython\n"
        f"version_info = {python.version}\n"
        "include-system-site-packages = false\n"
    )
