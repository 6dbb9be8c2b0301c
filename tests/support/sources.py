"""Packages that are built from source: a build backend for the test index, directories, repositories and projects."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

from esker.declare.load import load
from esker.host.interpreters import Interpreters
from esker.progress import Silent
from esker.realise.realise import realise
from esker.runtimes.native.locking import lock_project
from esker.settings import Settings
from esker.store.store import Store
from tests.support.projects import EMPTY, write_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.package_index import PackageIndex

__all__ = [
    "BUILD_SYSTEM",
    "SourceProject",
    "commit",
    "commit_of",
    "git",
    "package",
    "repository",
    "sdist",
    "serve_backend",
]

BUILD_SYSTEM = '[build-system]\nrequires = ["tinybackend"]\nbuild-backend = "tinybackend"\n'

_BACKEND = """
import os, tomllib, zipfile

def _project():
    with open("pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]

def get_requires_for_build_wheel(settings=None):
    return ["tinyhelper"] if os.path.exists("needs-helper") else []

def get_requires_for_build_editable(settings=None):
    return []

def _wheel(directory, files):
    project = _project()
    name, version = project["name"].replace("-", "_"), project.get("version", "0")
    info = f"{name}-{version}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in files) + f"{info}/RECORD,,\\n"
    with zipfile.ZipFile(f"{directory}/{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), content)
    return f"{name}-{version}-py3-none-any.whl"

def build_wheel(directory, settings=None, metadata=None):
    if os.path.exists("needs-helper"):
        import tinyhelper
    os.makedirs("build", exist_ok=True)
    open("build/left", "w").close()
    modules = {name: open(name).read() for name in sorted(os.listdir()) if name.endswith(".py") and name != "setup.py"}
    return _wheel(directory, modules)

def build_editable(directory, settings=None, metadata=None):
    os.makedirs("tiny.egg-info", exist_ok=True)
    return _wheel(directory, {f"__editable_{_project()['name']}.pth": os.getcwd() + "\\n"})
"""


def serve_backend(index: PackageIndex, version: str = "1.0", code: str = _BACKEND) -> None:
    """Serve a build backend that needs nothing, and that leaves `build/` where it builds."""
    index.add("tinybackend", version, {"tinybackend.py": code})


def package(directory: Path, name: str, version: str = "1.0", *, files: Mapping[str, str] | None = None) -> Path:
    """Write a package with one module of its name into a new directory, and return the directory."""
    directory.mkdir(parents=True)
    head = f'[project]\nname = "{name}"\nversion = "{version}"\n'
    contents = {"pyproject.toml": head + BUILD_SYSTEM, f"{name.replace('-', '_')}.py": f'VERSION = "{version}"\n'}
    for path, content in {**contents, **(files or {})}.items():
        (directory / path).write_text(content)
    return directory


def repository(directory: Path, name: str, version: str = "1.0") -> Path:
    """Write a package into a new repository of git, and return its directory."""
    package(directory, name, version)
    git(directory, "init", "-q", "-b", "main")
    commit(directory)
    return directory


def commit(directory: Path) -> str:
    """Commit all that lies in a repository, and return the commit."""
    git(directory, "add", "-A")
    git(directory, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "change")
    return commit_of(directory)


def commit_of(directory: Path) -> str:
    """Return the commit that is checked out in a repository."""
    return git(directory, "rev-parse", "HEAD")


def git(directory: Path, *arguments: str) -> str:
    """Run git in a directory and return what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], cwd=directory, env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def sdist(directory: Path, name: str, version: str = "1.0") -> bytes:
    """Return a source distribution of a package, made by way of a new directory."""
    package(directory, name, version)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(directory, f"{name}-{version}")
    return packed.getvalue()


class SourceProject:
    """A project whose manifest names a pyproject.toml, with a store of its own."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.environ = environ
        self.remarks: list[str] = []
        manifest = '[plugins.esker.python]\nproject = "pyproject.toml"\n'
        write_project(directory, f'{EMPTY}[options]\nsystems = ["x86_64-linux"]\n{manifest}')

    def declare(self, dependencies: list[str], uv: str = "", *, python: str = ">=3.11") -> None:
        """Write the pyproject.toml; `uv` follows its table [project]."""
        text = f'[project]\nname = "app"\nversion = "0"\nrequires-python = "{python}"\n'
        listed = ", ".join(map(json.dumps, dependencies))
        (self.directory / "pyproject.toml").write_text(f"{text}dependencies = [{listed}]\n{uv}")

    @property
    def pylock(self) -> str:
        """The text of the lock."""
        return (self.directory / ".flox" / "pylock.toml").read_text()

    def lock(self, **options: object) -> bool:
        """Lock the project, and return whether the lock is new."""
        declaration, settings = load(str(self.directory)), Settings(self.environ)
        listener = _Remarks(self.remarks)
        interpreters = Interpreters(settings.tools)
        return lock_project(declaration, settings, interpreters, progress=listener, **options)[1]  # type: ignore[arg-type]

    def run(self, code: str) -> str:
        """Lock and realise the project, and return what its Python prints for `code`."""
        declaration, settings = load(str(self.directory)), Settings(self.environ)
        interpreters = Interpreters(settings.tools)
        lock, _ = lock_project(declaration, settings, interpreters, progress=Silent())
        store = Store(settings.store_root, durable=False)
        with store.using():
            profile = realise(declaration, lock, store, interpreters, settings, progress=Silent())
        done = subprocess.run([f"{profile}/bin/python", "-c", code], check=True, capture_output=True, text=True)
        return done.stdout.strip()


class _Remarks(Silent):
    def __init__(self, remarks: list[str]) -> None:
        self._remarks = remarks

    def remark(self, text: str) -> None:
        self._remarks.append(text)
