"""What Esker needs to be built and installed on the machines of jobs: wheels for their Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.roots import Root

__all__ = ["PYTHON", "ROOT"]

PYTHON = "3.13"
"""The version of the machines' Python."""
_PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def _requirements() -> list[str]:
    described = tomllib.loads(_PROJECT.read_text())
    return [*described["build-system"]["requires"], *described["project"]["dependencies"]]


def _make(made: Path, _: Path) -> None:
    machine = os.uname().machine
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)] + [f"manylinux2014_{machine}"]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(made)),
        *(
            "--python-version",
            PYTHON,
            "--implementation",
            "cp",
            "--abi",
            f"cp{PYTHON.replace('.', '')}",
            "--abi",
            "none",
        ),
        *(word for platform in platforms for word in ("--platform", platform)),
        *_requirements(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the wheels cannot be fetched: {done.stderr}")


ROOT = Root(_make, (Path(__file__),), " ".join(_requirements()))
