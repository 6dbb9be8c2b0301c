"""A runtime and a chamber that Esker has never seen work everywhere once the registries name them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from esker.cli.main import main
from esker.environment import Environment
from esker.flox import Flox, flox_required
from tests.support.throwaway import MARKER, registered

REGISTER = """\
from tests.support.throwaway import registered
for registry, name, entry in registered():
    registry[name] = entry
"""


@pytest.fixture
def project(tmp_path, monkeypatch, environ):
    """The directory of a project that is declared for the throw-away runtime, and for nothing else."""
    for registry, name, entry in registered():
        monkeypatch.setitem(registry, name, entry)
    monkeypatch.setenv("HOME", environ["HOME"])
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / MARKER).write_text("GREETING=hello there\nMORE=1\n")
    return tmp_path / "project"


def ends(project):
    """How often an activation has ended."""
    return (project / "ended").read_text().count("ended") if (project / "ended").exists() else 0


def test_an_environment_activates_runs_and_ends(project, monkeypatch):
    """It is found by its declaration, from below too within a repository; every beginning has its end."""
    (project / ".git").mkdir()
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    environment = Environment()
    assert environment.project == str(project)
    with environment:
        assert os.environ["GREETING"] == "hello there"
    assert "GREETING" not in os.environ
    assert environment.run(["sh", "-c", "echo $GREETING"], capture=True).stdout == "hello there\n"
    assert environment.variables()["MORE"] == "1"
    assert ends(project) == 3


def test_its_services_get_its_variables(project):
    """With the environment, and by themselves; being looked at starts neither."""
    services = Environment(project).services
    assert [status.status for status in services.status()] == ["Stopped"]
    assert ends(project) == 0
    with Environment(project, services=["web"]) as environment:
        assert environment.services.logs("web") == ["hello there"]
    assert [status.ready for status in services.start()] == [True]
    assert services.stop().stopped == ("web",)


def test_a_decorated_function_runs_inside(project):
    """By the engine of that name; the Flox face knows its services too."""

    @flox_required(project, services=["web"], engine="throwaway")
    def task():
        return os.environ["GREETING"], (project / "web").exists()

    assert task() == ("hello there", True)
    assert not (project / "web").exists()
    flox = Flox(project, engine="throwaway")
    assert flox.run("sh", ["-c", "echo $MORE"]).stdout == "1\n"
    handle = flox.services.start("web")
    assert [service.name for service in handle.services] == ["web"]
    flox.services.stop()


def test_commands_work(project, capsys):
    """`services start`, `status`, `logs` and `stop`, and the difference of variables."""
    for words in (["start"], ["status"], ["logs", "web"], ["stop"]):
        assert main(["services", *words, "-d", str(project)]) == 0
    out, errors = capsys.readouterr()
    assert "web        Running" in out
    assert "hello there" in out
    assert "started" in errors
    assert main(["activate", "--json", "-d", str(project)]) == 0
    assert '"GREETING": "hello there"' in capsys.readouterr().out
    assert main(["activate", "-p", "-d", str(project)]) == 2
    assert "the runtime `throwaway` can only be activated for a command" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--", "sh", "-c", "echo $GREETING; exit 3"], ["-c", "echo $GREETING; exit 3"]])
def test_a_command_runs_inside_and_the_activation_ends_after_it(project, words):
    """With the services, where they are asked for; the status is the command's."""
    program = f"{REGISTER}import sys\nfrom esker.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", program, "activate", "-s", "-d", str(project), *words]
    done = subprocess.run(argv, cwd=os.getcwd(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "hello there\n")
    assert ends(project) == 1
    assert not (project / "web").exists()


@pytest.mark.slow
def test_the_pytest_plugin_finds_it(project, monkeypatch):
    """A marked test runs inside, with the service that it asks for; the command has to know the runtime."""
    program = project / "esker-with-more"
    code = f"import sys\nsys.path.insert(0, {os.getcwd()!r})\n{REGISTER}"
    program.write_text(f"{code}from esker.cli.main import main\nsys.exit(main(sys.argv[1:]))\n")
    monkeypatch.setenv("ESKER_COMMAND", shlex.join([sys.executable, str(program)]))
    (project / "test_inside.py").write_text(
        "import os, pytest\n@pytest.mark.esker(services=['web'])\ndef test_it():\n"
        "    assert (os.environ['GREETING'], os.path.exists('web')) == ('hello there', True)\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(project), "-p", "no:cacheprovider"]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout
    assert not (project / "web").exists()
