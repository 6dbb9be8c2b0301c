"""Esker as people install it: a wheel of this clone, put into an environment by an installer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uv

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROOT", "call", "esker_wheel", "registry_variables", "venv"]

ROOT = Path(__file__).parents[2]
_REGISTRY = re.compile(r"(PIP_|UV_|SSL_CERT_|REQUESTS_CA_BUNDLE|\w+_PROXY$|\w+_proxy$)")


def call(*argv: object, **variables: str) -> None:
    """Run an installer, which uses the machine's own index and caches."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in argv], env=environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def esker_wheel(directory: Path) -> Path:
    """Return a wheel of this clone, made in `directory` as pip and uv make one before they install."""
    call(uv.find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", directory, ROOT)
    return next(directory.glob("*.whl"))


def venv(directory: Path, *options: str) -> Path:
    """Make a virtual environment, and return the directory of its programs."""
    call(sys.executable, "-m", "venv", *options, directory)
    return directory / "bin"


def registry_variables() -> Mapping[str, str]:
    """Return the variables by which this machine reaches its package registries."""
    return {name: value for name, value in os.environ.items() if _REGISTRY.match(name)}
