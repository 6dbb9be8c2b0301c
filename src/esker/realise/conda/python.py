"""The Python of a prefix: where its packages lie, the commands of pure Python packages, and what stands for pip."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.realise import pip_refusal
from esker.realise.byte_code import NO_BYTE_CODE
from esker.realise.conda.placeholders import LONGEST_FIRST_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.formats.conda.package_info import EntryPoint
    from esker.realise.conda.packages import Unpacked

__all__ = ["PIP", "CondaPython", "find"]

PIP = "pip"
"""The name of the package that gives way to files of Esker's."""
_PIP = re.compile(r"pip(-[^/]*\.(dist|egg)-info)?(/|$)")
_VERSION = re.compile(r"(\d+)\.(\d+)(?!\d)")


class CondaPython(NamedTuple):
    """The interpreter of a prefix."""

    package: LockedCondaPackage
    release: tuple[int, int]
    site_packages: str
    """Where its packages lie, relative to the prefix."""

    @property
    def program(self) -> str:
        """Its path in the prefix."""
        major, minor = self.release
        return f"bin/python{major}.{minor}"

    def place(self, path: str) -> str:
        """Return where a file of a pure Python package is put."""
        head, slash, tail = path.partition("/")
        if slash and head == "site-packages":
            return f"{self.site_packages}/{tail}"
        return f"bin/{tail}" if slash and head == "python-scripts" else path

    def replaces(self, path: str) -> bool:
        """Return whether a path of the prefix is pip's, which gives way to files of Esker's."""
        head = f"{self.site_packages}/"
        return path.startswith(head) and _PIP.match(path, len(head)) is not None

    def files(self) -> dict[str, bytes]:
        """Return the files of Esker's by path; those in bin can be run."""
        major, minor = self.release
        commands = ("pip", f"pip{major}", f"pip{major}.{minor}")
        return {
            **{f"bin/{name}": pip_refusal.COMMAND.encode() for name in commands},
            f"{self.site_packages}/pip.py": pip_refusal.MODULE.encode(),
            f"{self.site_packages}/esker-store.pth": NO_BYTE_CODE.encode(),
            f"lib/python{major}.{minor}/EXTERNALLY-MANAGED": pip_refusal.EXTERNALLY_MANAGED.encode(),
        }

    def command(self, entry: EntryPoint, prefix: str) -> bytes:
        """Return the script of an entry point in the prefix at this path."""
        program = f"{prefix}/{self.program}"
        head = f"#!{program}\n"
        if len(head) - 1 > LONGEST_FIRST_LINE or " " in prefix:
            head = f"#!/bin/sh\n'''exec' \"{program}\" \"$0\" \"$@\" #'''\n"
        imported = entry.function.partition(".")[0]
        lines = [
            "# -*- coding: utf-8 -*-",
            "import re",
            "import sys",
            "",
            f"from {entry.module} import {imported}",
            "",
            "if __name__ == '__main__':",
            r"	sys.argv[0] = re.sub(r'(-script\.pyw?|\.exe)?$', '', sys.argv[0])",
            f"	sys.exit({entry.function}())",
            "",
        ]
        return (head + "\n".join(lines)).encode()


def find(packages: Sequence[Unpacked]) -> CondaPython | None:
    """Return the Python among the packages, or None; raises RealisationFailed if its version cannot be told."""
    for package, _, contents in packages:
        if package.name == "python":
            version = _VERSION.match(package.version)
            if version is None:
                raise RealisationFailed(
                    f"`{package.title}` has no version of Python's", hint="lock another: esker lock"
                )
            major, minor = int(version[1]), int(version[2])
            return CondaPython(
                package, (major, minor), contents.site_packages or f"lib/python{major}.{minor}/site-packages"
            )
    return None
