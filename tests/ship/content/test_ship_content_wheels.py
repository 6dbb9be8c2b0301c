"""Wheels in an image: for its own system and C library, with byte code, and with nothing of them run."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

import pytest

from esker.errors import ImageError, NotTrusted, RealisationFailed
from esker.formats.elf import MACHINES
from esker.ship.content.places import PYTHON
from esker.ship.image.unit import SymbolicLink
from tests.support.conda_package import package

SYSTEM, OTHER = (f"{os.uname().machine}-linux", "aarch64-linux" if os.uname().machine == "x86_64" else "x86_64-linux")
SUBDIRS = {"x86_64-linux": "linux-64", "aarch64-linux": "linux-aarch64"}
MINOR = ".".join(map(str, sys.version_info[:2]))
TAG = MINOR.replace(".", "")
SITE = f"lib/python{MINOR}/site-packages"


def elf(system):
    """Return a library of nothing but a header."""
    machine = MACHINES[system.partition("-")[0]]
    return (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 0, 0, 0)
    )


@pytest.fixture
def wheels_of(made, channel):
    """Give a function that returns an image with wheels and a Python that cannot be run here."""
    own = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for system, subdir in SUBDIRS.items():
        content = own if system == SYSTEM else "it cannot be run here"
        files = {"bin/python": content, f"bin/python{MINOR}": content}
        channel.add(package("python", f"{MINOR}.0", files, subdir=subdir))

    def image(*dependencies, system=OTHER, python="", more="", **options):
        listed = ", ".join(f'"{each}"' for each in dependencies)
        return made(
            f'[options]\nsystems = ["{SYSTEM}", "{OTHER}"]\n[plugins.esker.conda]\nchannels = ["{channel.url}"]\n'
            f'dependencies = ["python"]\n[plugins.esker.python]\ndependencies = [{listed}]\n{python}\n{more}',
            system=system,
            **options,
        )

    return image


def test_wheels_of_another_system(wheels_of, index):
    """The wheel for that system is chosen, and its modules are compiled by a Python of this machine."""
    for system in (SYSTEM, OTHER):
        machine = system.partition("-")[0]
        files = {"native.so": elf(system), "native.py": f'MACHINE = "{machine}"\n'}
        index.add(
            "native", "1.0", files, tag=f"cp{TAG}-cp{TAG}-manylinux_2_17_{machine}", scripts={"native": "native:x"}
        )
    image = wheels_of("native")
    [unit] = [unit for unit in image.units if unit.name == "pypi/native"]
    entries = {entry.path.removeprefix(f"{PYTHON}/"): entry for entry in unit.entries()}
    with open(entries[f"{SITE}/native.so"].source, "rb") as file:
        assert file.read()[18] == MACHINES[OTHER.partition("-")[0]]
    assert f"{SITE}/__pycache__/native.cpython-{TAG}.pyc" in entries
    assert entries["bin/native"].source.startswith(f"#!{PYTHON}/bin/python\n".encode())
    assert unit.version == "1.0"


def test_wheels_for_an_older_c_library(wheels_of, index):
    """A wheel that needs a newer glibc than the image has is not chosen; without another one the error says so."""
    for machine in ("x86_64", "aarch64"):
        index.add("new", "1.0", {"new.py": ""}, tag=f"cp{TAG}-cp{TAG}-manylinux_2_35_{machine}")
    with pytest.raises(RealisationFailed, match="new"):
        wheels_of("new")


def test_without_byte_code(wheels_of, index):
    """`byte-code = false` leaves compiled modules out."""
    index.add("pure", "1.0", {"pure.py": "A = 1\n"})
    image = wheels_of("pure", more="[plugins.esker.image]\nbyte-code = false\n")
    [unit] = [unit for unit in image.units if unit.name == "pypi/pure"]
    paths = {entry.path for entry in unit.entries()}
    assert f"{PYTHON}/{SITE}/pure.py" in paths
    assert not [path for path in paths if path.endswith(".pyc")]


def test_the_python_environment(wheels_of, index):
    """Its `python` is a relative link to the interpreter, beside a pyvenv.cfg that names it."""
    index.add("pure", "1.0")
    image = wheels_of("pure")
    [unit] = [unit for unit in image.units if unit.name == "esker/environment"]
    entries = {entry.path: entry for entry in unit.entries()}
    assert entries[f"{PYTHON}/bin/python"] == SymbolicLink(f"{PYTHON}/bin/python", f"../../conda/bin/python{MINOR}")
    assert b"home = /opt/esker/conda/bin\n" in entries[f"{PYTHON}/pyvenv.cfg"].source
    assert entries["/opt/esker/env/bin/python"].target == "../../python/bin/python"


def test_source_directories_must_be_in_the_image(wheels_of, index, project):
    """A directory on Python's path has a place in the image, or the error says how to give it one."""
    index.add("pure", "1.0")
    (project / "src").mkdir()
    (project / "src/a.py").write_text("")
    subprocess.run(["git", "add", "src"], cwd=project, check=True)
    with pytest.raises(ImageError, match="`src` on Python's path, and the image does not have it") as caught:
        wheels_of("pure", python='source = ["src"]')
    assert '"/app" = ["src"]' in caught.value.hint
    image = wheels_of("pure", python='source = ["src"]', more='[plugins.esker.image.files]\n"/app" = ["src"]\n')
    [unit] = [unit for unit in image.units if unit.name == "esker/environment"]
    entries = {entry.path: entry for entry in unit.entries()}
    assert entries[f"{PYTHON}/{SITE}/esker-source.pth"].source == b"/app/src\n"


def test_source_directories_of_an_included_environment(wheels_of, index, project):
    """They lie outside of the project's directory, in the same repository, and have a place in the image all the same."""
    index.add("pure", "1.0")
    (project / "src").mkdir()
    (project / "src/a.py").write_text("")
    (project / "image").mkdir()
    subprocess.run(["git", "add", "src"], cwd=project, check=True)
    more = '[plugins.esker.image.files]\n"/app" = ["../src"]\n'
    image = wheels_of("pure", python='source = ["../src"]', more=more, directory=project / "image")
    entries = {entry.path: entry for unit in image.units for entry in unit.entries()}
    assert entries[f"{PYTHON}/{SITE}/esker-source.pth"].source == b"/app/src\n"
    assert "/app/src/a.py" in entries


PYPROJECT = f"""
[project]
name = "app"
version = "1.0"
requires-python = ">={MINOR}"
[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""


def test_the_project_enters_as_its_wheel(wheels_of, index, project):
    """It is built of what git tracks, lies in the application layer, and is no editable hook."""
    index.add("pure", "1.0")
    (project / "src/app").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "src/app/__init__.py").write_text("A = 1\n")
    (project / "src/app/secret.py").write_text("B = 2\n")
    subprocess.run(["git", "add", "pyproject.toml", "src/app/__init__.py"], cwd=project, check=True)
    image = wheels_of("pure", python='project = "pyproject.toml"')
    [unit] = [unit for unit in image.units if unit.name == "pypi/app"]
    assert unit.category == "application"
    paths = {entry.path for entry in unit.entries()}
    assert f"{PYTHON}/{SITE}/app/__init__.py" in paths
    assert not [path for path in paths if "secret" in path or path.endswith(".pth")]


def test_a_file_of_the_project_that_cannot_be_read(wheels_of, index, project, monkeypatch):
    """It is named, and the wheel is not built without it."""
    index.add("pure", "1.0")
    (project / "src/app").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "src/app/__init__.py").write_text("A = 1\n")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)

    def refused(path, _):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("esker.ship.content.python_packages.shutil.copyfile", refused)
    with pytest.raises(ImageError, match=r"cannot read `.*`: permission denied"):
        wheels_of("pure", python='project = "pyproject.toml"')


def test_a_project_of_somebody_else_is_not_built(wheels_of, index, project, environ):
    """Building runs code of the project, which needs trust."""
    index.add("pure", "1.0")
    (project / "src/app").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "src/app/__init__.py").write_text("A = 1\n")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)
    project.chmod(0o777)
    with pytest.raises(NotTrusted, match="every user can write"):
        wheels_of("pure", python='project = "pyproject.toml"')


def test_a_project_whose_pyproject_is_not_tracked(wheels_of, index, project):
    """Without it nothing can be built of what git tracks."""
    index.add("pure", "1.0")
    (project / "src/app").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "src/app/__init__.py").write_text("A = 1\n")
    with pytest.raises(ImageError, match="git does not track") as caught:
        wheels_of("pure", python='project = "pyproject.toml"')
    assert "git add pyproject.toml" in caught.value.hint
