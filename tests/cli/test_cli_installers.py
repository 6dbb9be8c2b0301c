"""The command after a real installation, by each installer and in each place that people use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import uv

from tests.cli.test_cli_isolation import foreign_modules
from tests.support.installed_esker import ROOT, call, venv

pytestmark = [pytest.mark.live("installers"), pytest.mark.slow]

FOREIGN = {"msgspec", "tomlkit", "packaging", "uv", "rich", "json", "platform"}
"""Modules that no script of an installer imports before it comes to Esker."""


def _pip(wheel, tmp_path):
    programs = venv(tmp_path / "venv")
    call(programs / "pip", "install", wheel)
    return programs / "esker"


def _pip_editable(_, tmp_path):
    programs = venv(tmp_path / "venv")
    call(programs / "pip", "install", "--editable", ROOT)
    return programs / "esker"


def _pip_with_spaces(wheel, tmp_path):
    programs = venv(tmp_path / "a place with spaces")
    call(programs / "pip", "install", wheel)
    return programs / "esker"


def _pip_deep_down(wheel, tmp_path):
    programs = venv(tmp_path / ("deep" * 20) / ("down" * 20))
    call(programs / "pip", "install", wheel)
    return programs / "esker"


def _pip_user(wheel, tmp_path):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    pip = venv(tmp_path / "venv") / "pip"  # Debian's own Python may have none
    given = {"HOME": str(home), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    call(pip, "--python", os.path.realpath(sys.executable), "install", "--user", wheel, **given)
    return home / ".local" / "bin" / "esker"


def _pip_target(wheel, tmp_path):
    call(venv(tmp_path / "venv") / "pip", "install", "--target", tmp_path / "target", wheel)
    return tmp_path / "target" / "bin" / "esker"


def _uv_pip(wheel, tmp_path):
    programs = venv(tmp_path / "venv", "--without-pip")
    call(uv.find_uv_bin(), "pip", "install", "--python", programs / "python", wheel)
    return programs / "esker"


def _uv_pip_editable(_, tmp_path):
    programs = venv(tmp_path / "venv", "--without-pip")
    call(uv.find_uv_bin(), "pip", "install", "--python", programs / "python", "--editable", ROOT)
    return programs / "esker"


def _uv_tool(wheel, tmp_path):
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "programs")}
    call(uv.find_uv_bin(), "tool", "install", "--python", sys.executable, wheel, **places)
    assert os.listdir(tmp_path / "programs") == ["esker"]
    return tmp_path / "programs" / "esker"


def _pipx(wheel, tmp_path):
    programs = venv(tmp_path / "venv")
    call(programs / "pip", "install", "pipx")
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "programs")}
    call(programs / "pipx", "install", wheel, **places)
    return tmp_path / "programs" / "esker"


WAYS = [
    _pip,
    _pip_editable,
    _pip_with_spaces,
    _pip_deep_down,
    _pip_user,
    _pip_target,
    _uv_pip,
    _uv_pip_editable,
    _uv_tool,
    _pipx,
]


@pytest.mark.parametrize("install", WAYS, ids=lambda install: install.__name__.strip("_"))
def test_the_command_is_its_own_wherever_it_was_installed(install, wheel, environ, tmp_path, index):
    """The installer's script ignores other packages on PYTHONPATH; one written by it ignores PYTHONHOME too."""
    index.add("app", "1.0", {"app.py": "def main(): print('it runs')\n"}, scripts={"app": "app:main"})
    installed = install(wheel, tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    path = str(foreign_modules(tmp_path / "foreign", FOREIGN))
    foreign_modules(project, {"platform", "msgspec"})
    if install is _pip_target:  # Python finds it in no other way
        path = f"{tmp_path / 'target'}:{path}"

    def run(*command, **variables):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=project,
            env=environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": path} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(installed, "init")
    run(installed, "install", "pypi/app")
    assert run(installed, "activate", "--", "app") == "it runs\n"
    assert run(installed, "activate", "--", "printenv", "PYTHONPATH") == f"{path}\n"
    run(installed, "shim", "esker", tmp_path / "written")
    shutil.rmtree(project / ".flox" / "cache")
    written = tmp_path / "written" / "esker"
    assert run(written, "activate", "--", "printenv", "PYTHONHOME", PYTHONHOME="/nonexistent") == "/nonexistent\n"
    assert run(written, "activate", "--", "app") == "it runs\n"
    run(written, "doctor", PYTHONHOME="/nonexistent")
