"""The projects that are measured. All come from examples/items, so Esker's and its peers' declare the same."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import tomlkit

__all__ = ["EXAMPLE", "copy_example", "mise_project", "python_table", "uv_project"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "items"
MANIFEST = Path(".flox", "env", "manifest.toml")


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


def mise_project(directory: Path) -> Path:
    """Write a project of mise that sets the example's variables and has no tools; mise has to add nothing else."""
    manifest = tomllib.loads((EXAMPLE / MANIFEST).read_text(encoding="utf-8"))
    directory.mkdir()
    document = tomlkit.dumps({"env": dict.fromkeys(manifest.get("vars", {}), "1")})
    (directory / "mise.toml").write_text(document, encoding="utf-8")
    return directory
