"""A mirror of Pythons for uv: files that hold a copy of the interpreter that runs the tests, under its true version.

A machine without Pythons is one on which Esker's own interpreter cannot be started again, and whose PATH has none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["WITHOUT_PYTHON", "PythonMirror", "path_without_python"]

WITHOUT_PYTHON = (
    "import sys; sys._base_executable = '/nonexistent/python'; from esker.__main__ import main; sys.exit(main())"
)
"""Runs Esker as if the interpreter that it runs on were gone from the disk."""
_TAG = "20240101"
_ORIGIN = "https://github.com/astral-sh/python-build-standalone/releases/download"
_LEFT_OUT = {"test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__", "tkinter", "turtledemo"}
_PROGRAMS = ("sh", "env", "dirname", "realpath", "cat", "true", "ls")


class PythonMirror:
    """A directory with the archive of one Python, and the list in which uv finds it."""

    def __init__(self, directory: Path) -> None:
        self.version = "{}.{}.{}".format(*sys.version_info[:3])
        """The version of the Python, and of the interpreter that runs the tests."""
        machine = os.uname().machine
        name = f"cpython-{self.version}+{_TAG}-{machine}-unknown-linux-gnu-install_only_stripped.tar.gz"
        self.archive = directory / _TAG / name
        self.archive.parent.mkdir()
        _pack(self.archive)
        self.key = f"cpython-{self.version}-linux-{machine}-gnu"
        """What uv calls the Python."""
        major, minor, patch = sys.version_info[:3]
        entry = {
            "name": "cpython",
            "arch": {"family": machine, "variant": None},
            "os": "linux",
            "libc": "gnu",
            "major": major,
            "minor": minor,
            "patch": patch,
            "prerelease": "",
            "url": f"{_ORIGIN}/{_TAG}/{name.replace('+', '%2B')}",
            "sha256": hashlib.sha256(self.archive.read_bytes()).hexdigest(),
            "variant": None,
            "build": _TAG,
        }
        self._list = directory / "downloads.json"
        self._list.write_text(json.dumps({self.key: entry}))

    def variables(self, place: Path) -> Mapping[str, str]:
        """Return the variables by which uv fetches from here, into `place`."""
        return {
            "UV_PYTHON_DOWNLOADS": "automatic",
            "UV_PYTHON_INSTALL_DIR": str(place),
            "UV_PYTHON_INSTALL_MIRROR": f"file://{self.archive.parent.parent}",
            "UV_PYTHON_DOWNLOADS_JSON_URL": f"file://{self._list}",
        }


def path_without_python(directory: Path) -> str:
    """Return a PATH with a few programs, and no Python among them."""
    directory.mkdir()
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program is not None, f"`{name}` is not on PATH"
        (directory / name).symlink_to(program)
    return str(directory)


def _pack(archive: Path) -> None:
    """Pack what an interpreter needs to run: its program, its standard library, and a library that it may share."""
    major, minor = sys.version_info[:2]
    program = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    shared = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = os.path.basename(entry.name)
        is_absolute = entry.issym() and entry.linkname.startswith("/")  # Debian's sitecustomize.py; uv refuses it
        return None if is_absolute or name in _LEFT_OUT or name.startswith("config-") or name.endswith(".a") else entry

    with tarfile.open(archive, "w:gz", compresslevel=1) as file:
        file.add(program, f"python/bin/python{major}.{minor}")
        file.add(sysconfig.get_path("stdlib"), f"python/lib/python{major}.{minor}", filter=wanted)
        if shared.endswith(".so.1.0") and os.path.isfile(shared):
            file.add(shared, f"python/lib/{os.path.basename(shared)}")
