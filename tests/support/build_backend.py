"""A small build backend, served as a wheel: it makes editable builds (PEP 660), and leaves what it is told to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.package_index import PackageIndex

__all__ = ["add_backend", "write_package"]

_BACKEND = """
import os, sys, tomllib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    project = tomllib.load(open("pyproject.toml", "rb"))
    told, project = project.get("tool", {}).get("tiny", {}), project["project"]
    with open(told.get("log", os.devnull), "a") as log:
        print(project["version"], config_settings or {}, file=log)
    if "fail" in told:
        print("\\n".join(f"line {number}" for number in range(50)), file=sys.stderr)
        raise SystemExit(told["fail"])
    for path in told.get("leaves", []):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        open(path, "w").close()
    name, version = project["name"].replace("-", "_"), project["version"]
    info = f"{name}-{version}.dist-info"
    commands = "".join(f"{key} = {value}\\n" for key, value in project.get("scripts", {}).items())
    files = {
        f"__editable__.{name}.pth": os.path.abspath("src") + "\\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": f"[console_scripts]\\n{commands}",
        **told.get("files", {}),
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel

def build_wheel(*_, **__):
    raise SystemExit("only editable builds are made here")
"""


def add_backend(index: PackageIndex, version: str = "1.0") -> None:
    """Serve the backend as the package `tiny`."""
    index.add("tiny", version, {"tiny.py": _BACKEND})


def write_package(
    directory: Path,
    *,
    version: str = "1.2",
    scripts: str = 'demo = "demo_app:main"',
    build_system: str = 'requires = ["tiny"]\nbuild-backend = "tiny"',
    project: str = "",
    more: str = "",
) -> None:
    """Write a package `demo-app` with one module below `src`; `more` follows at the end of its pyproject.toml."""
    (directory / "src" / "demo_app").mkdir(parents=True, exist_ok=True)
    module = directory / "src" / "demo_app" / "__init__.py"
    if not module.exists():
        module.write_text('"""An example."""\n\n\ndef main():\n    print("hello")\n')
    build = f"[build-system]\n{build_system}\n" if build_system else ""
    commands = f"[project.scripts]\n{scripts}\n" if scripts else ""
    stated = f'name = "demo-app"\nversion = "{version}"' if version else 'name = "demo-app"'
    (directory / "pyproject.toml").write_text(f"{build}[project]\n{stated}\n{project}\n{commands}{more}\n")
