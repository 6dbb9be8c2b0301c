"""The projects that are measured. All come from examples/items, so Esker's and its peers' declare the same."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EXAMPLE",
    "LARGE",
    "SMALL",
    "copy_example",
    "manifest_with",
    "mise_project",
    "python_table",
    "uv_project",
    "uv_project_of",
    "with_manifest",
]

EXAMPLE = Path(__file__).parents[1] / "examples" / "items"
MANIFEST = Path(".flox", "env", "manifest.toml")
LARGE = ("jupyterlab", "pandas")
"""Packages that need about ninety more."""
SMALL = (
    *("iniconfig", "pluggy", "toml", "colorama", "tabulate", "blinker", "itsdangerous", "mdurl", "sortedcontainers"),
    *("xmltodict", "zipp", "cloudpickle", "pathspec", "distlib", "filelock", "mccabe", "termcolor", "toolz", "smmap"),
    *("text-unidecode", "tomli-w", "pycodestyle", "pyflakes", "entrypoints", "polib"),
)
"""Packages of a few files that need no other."""


def python_table() -> dict[str, Any]:
    """Return what the example declares under `[plugins.esker.python]`."""
    manifest = tomllib.loads((EXAMPLE / MANIFEST).read_text(encoding="utf-8"))
    table: dict[str, Any] = manifest["plugins"]["esker"]["python"]
    return table


def copy_example(directory: Path, *, scripts: bool) -> Path:
    """Copy the example, without files that a run leaves behind; unless `scripts`, without hook and profile scripts."""
    ignored = shutil.ignore_patterns("run", "cache", "lib", "log", "pylock.toml", "__pycache__", ".venv")
    shutil.copytree(EXAMPLE, directory, ignore=ignored)
    if not scripts:
        path = directory / MANIFEST
        manifest = tomlkit.parse(path.read_text(encoding="utf-8"))
        for table in ("hook", "profile"):
            manifest.pop(table, None)
        path.write_text(tomlkit.dumps(manifest), encoding="utf-8")
    return directory


def uv_project(directory: Path) -> Path:
    """Write a uv project with the same Python version and dependencies as the example."""
    declared = python_table()
    project = {
        "name": "items",
        "version": "0",
        "requires-python": declared["version"],
        "dependencies": declared["dependencies"],
    }
    directory.mkdir()
    document = tomlkit.dumps({"project": project, "tool": {"uv": {"package": False}}})
    (directory / "pyproject.toml").write_text(document, encoding="utf-8")
    return directory


def manifest_with(dependencies: Sequence[str], directory: Path) -> None:
    """Write a project that declares these packages and no more."""
    table = {"plugins": {"esker": {"python": {"dependencies": list(dependencies)}}}}
    with_manifest(tomlkit.dumps({"schema-version": "1.14.0", **table}), directory)


def with_manifest(text: str, directory: Path) -> Path:
    """Write a project with a manifest, and return its directory."""
    path = directory / MANIFEST
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    name = f'{{"name": "{directory.name}", "version": 1}}'
    (directory / ".flox" / "env.json").write_text(name, encoding="utf-8")
    return directory


def uv_project_of(dependencies: Sequence[str], directory: Path) -> None:
    """Write a uv project that declares these packages and no more."""
    minor = ".".join(map(str, sys.version_info[:2]))
    project = {"name": directory.name, "version": "0", "requires-python": f"=={minor}.*"}
    directory.mkdir()
    document = {"project": {**project, "dependencies": list(dependencies)}, "tool": {"uv": {"package": False}}}
    (directory / "pyproject.toml").write_text(tomlkit.dumps(document), encoding="utf-8")


def mise_project(directory: Path) -> Path:
    """Write a project of mise that sets the example's variables and has no tools; mise has to add nothing else."""
    manifest = tomllib.loads((EXAMPLE / MANIFEST).read_text(encoding="utf-8"))
    directory.mkdir()
    document = tomlkit.dumps({"env": dict.fromkeys(manifest.get("vars", {}), "1")})
    (directory / "mise.toml").write_text(document, encoding="utf-8")
    return directory
