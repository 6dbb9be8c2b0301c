"""`esker init` in a project that has files of other tools already."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from esker.cli.commands import init
from esker.cli.voice import ESKER
from esker.declare.template import manifest

pytestmark = pytest.mark.slow
LAYOUTS = Path(__file__).parents[1] / "declare/adopt/layouts"
NEXT = """
Next:
  $ esker install pypi/NAME    <- Add a Python package
  $ esker install conda/NAME   <- Add a program or library of any language
  $ esker edit                 <- Add variables, scripts and services
  $ esker activate             <- Enter the environment
"""


@pytest.fixture
def laid_out(tmp_path):
    """Give a function that lays out a project."""

    def lay_out(name):
        shutil.copytree(LAYOUTS / name, tmp_path / "project")
        return tmp_path / "project"

    return lay_out


def written(project):
    return (project / ".flox/env/manifest.toml").read_text()


def test_what_it_says(esker, laid_out):
    """It asks nothing, takes what it can, and says so in one line a file and one for each thing that it leaves out."""
    project = laid_out("flask-heroku")
    done = esker("init")
    assert (done.status, done.out) == (0, "")
    system = f"{os.uname().machine}-linux"
    told = """\
✔ Taken from requirements.txt: 5 Python packages
✔ Taken from .python-version: Python ==3.12.4
✔ Taken from Procfile: the services `web` and `worker`
! requirements.txt:8: `legacy-lib @ file:///home/conda/feedstock_root/build_artifac…` is left out: it is a path on one machine
! Procfile:1: `release` is left out: it is a step of a deployment, not a service
"""
    assert done.err == f"⚡︎ Created environment 'project' ({system})\n{told}{NEXT}"
    assert 'worker.command = "celery -A shop.tasks worker --loglevel=INFO"\n' in written(project)


@pytest.mark.parametrize("procfile", ["", "web: sleep 1000\n"])
def test_the_services_of_a_compose_file_are_told(esker, empty, procfile):
    """They count as they are where the manifest declares none, and so only there."""
    (empty / "docker-compose.yml").write_text("services: {}\n")
    (empty / "Procfile").write_text(procfile)
    done = esker("init")
    assert ("✔ The services are those of docker-compose.yml: esker services start\n" in done.err) == (not procfile)


@pytest.mark.parametrize("option", ["--bare", "--no-auto-setup"])
@pytest.mark.parametrize("name", ["flask-heroku", "uv-package", "pixi-vision"])
def test_nothing_is_taken(esker, laid_out, option, name):
    """With one of these options, no file of the project counts."""
    project = laid_out(name)
    done = esker("init", option)
    assert done.status == 0
    assert "✔" not in done.err
    assert "!" not in done.err
    assert written(project) == manifest(bare=option == "--bare")


def test_without_py_rattler(laid_out, monkeypatch, capsys):
    """If conda packages are taken and py-rattler is missing, it says how to get it."""
    project = laid_out("node-api")
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(project / "home"))
    told = "! conda packages need py-rattler, which cannot be imported here: "
    assert init.run("init", ["-d", str(project)], ESKER) == 0
    assert told not in capsys.readouterr().err
    shutil.rmtree(project / ".flox")
    monkeypatch.setitem(sys.modules, "rattler", None)
    assert init.run("init", ["-d", str(project)], ESKER) == 0
    said = capsys.readouterr().err
    assert told in said
    assert "pip install 'esker[conda]'\n" in said


@pytest.mark.parametrize(
    ("name", "kind"), [("flake.nix", "nix"), ("shell.nix", "nix"), ("manifest.scm", "guix"), ("pyproject.toml", None)]
)
def test_a_declaration_that_counts_no_more_is_told(esker, empty, name, kind):
    """A manifest comes before a flake, whose environment would be gone without a word; both go together."""
    (empty / name).write_text("")
    told = f"! The new manifest counts before {name}, which gives nothing any more: to have both, "
    done = esker("init", "--bare")
    assert done.status == 0
    assert (told in done.err) == (kind is not None)
    if kind is not None:
        assert f'{told}write runtime = "{kind}" into [plugins.esker]\n' in done.err


def test_packages_are_added_to_what_was_taken(esker, laid_out):
    """`esker install` and `uninstall` edit the lists, and keep the comments that name the files."""
    project = laid_out("node-api")
    (project / "requirements.txt").write_text("flask\n")
    assert esker("init").status == 0
    assert esker("install", "--no-lock", "conda/htop", "pypi/rich").status == 0
    assert esker("uninstall", "--no-lock", "pypi/flask").status == 0
    text = written(project)
    assert '    # from package.json\n    "pnpm >=9.1,<9.2",\n    "htop",\n' in text
    assert '"rich"' in text
    assert "flask" not in text


def test_no_code_of_the_project_runs(esker, empty):
    """Whatever could be run by one of the tools whose files are read is only read."""
    mark = "open('ran', 'w')"
    for name in (
        "setup.py",
        "conftest.py",
        "sitecustomize.py",
        "rattler.py",
        "packaging.py",
        "tomllib.py",
        "Procfile.py",
    ):
        (empty / name).write_text(mark)
    (empty / "requirements.txt").write_text("-e .\n$(touch ran)\n`touch ran`\n")
    (empty / "Procfile").write_text("web: touch ran; $(touch ran)\n")
    (empty / ".python-version").write_text("$(touch ran)\n")
    (empty / ".nvmrc").write_text("`touch ran`\n")
    (empty / "package.json").write_text('{"scripts": {"install": "touch ran"}, "engines": {"node": "$(touch ran)"}}')
    (empty / "environment.yml").write_text("dependencies: ['$(touch ran)']\n")
    before = {entry.name for entry in empty.iterdir()}
    assert esker("init").status == 0
    assert {entry.name for entry in empty.iterdir()} - before == {".flox"}


def test_all_that_is_left_out_can_be_seen(esker, empty):
    """A file of which very much is left out is told in short; -v tells all."""
    (empty / "Procfile").write_text("".join(f"no service {number}\n" for number in range(60)))
    assert "! Procfile: 10 more things are left out (-v shows them all)\n" in esker("init").err
    (empty / "second").mkdir()
    (empty / "Procfile").rename(empty / "second/Procfile")
    told = esker("init", "-v", "-d", "second").err
    assert (told.count("! Procfile:"), "more things" in told) == (60, False)
