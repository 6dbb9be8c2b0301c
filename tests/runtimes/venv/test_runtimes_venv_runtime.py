"""A Python project without a manifest is activated: by its `.venv`, which uv fills, and without uv the next time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from esker.environment import Environment
from esker.errors import NotTrusted
from esker.host import uv as uv_module
from esker.runtimes import registry
from esker.settings import Settings
from tests.support.shells import SHELLS, Person

pytestmark = pytest.mark.slow


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path, index, environ, monkeypatch):
    """Give a project with one requirement, below a directory that is closed to others; the process sees `environ`."""
    index.add("tiny", "1.0", {"tiny.py": "def run(): print('tiny runs')\n"}, scripts={"tiny": "tiny:run"})
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "project"
    path.mkdir()
    (path / "requirements.txt").write_text("tiny\n")
    return path


@pytest.fixture
def esker(project, environ):
    """Give a function that runs `esker` in the project."""

    def run(*arguments, cwd=project, **variables):
        done = subprocess.run(
            [sys.executable, "-m", "esker", *arguments],
            cwd=cwd,
            env=environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def uv_calls(monkeypatch):
    """Give the list of the calls of uv by this process."""
    calls, real = [], subprocess.Popen

    def popen(command, *args, **kwargs):
        if os.path.basename(command[0]) == "uv":
            calls.append(command[1])
        return real(command, *args, **kwargs)

    monkeypatch.setattr(uv_module.subprocess, "Popen", popen)
    return calls


def activated(project):
    with Environment(project) as environment:
        assert os.environ["VIRTUAL_ENV"] == f"{environment.project}/.venv"


def test_a_command(esker, project, environ):
    """Its programs and packages are there; the caller hears what is done, and nothing of Esker's is in the project."""
    first = esker("activate", "--", "sh", "-c", 'tiny; echo "$VIRTUAL_ENV $VIRTUAL_ENV_PROMPT"; echo "$PATH"')
    lines = first.out.splitlines()
    assert lines[:2] == ["tiny runs", f"{project}/.venv .venv"]
    assert lines[2].startswith(f"{project}/.venv/bin:")
    assert f"{project}/.venv has what requirements.txt says" in first.err
    assert esker("activate", "--", "tiny") == (0, "tiny runs\n", "")
    assert esker("activate", "-c", "tiny | tr a-z A-Z") == (0, "TINY RUNS\n", "")
    assert sorted(os.listdir(project)) == [".venv", "requirements.txt"]


def test_a_warm_activation_starts_no_uv(project, uv_calls):
    """uv runs again when something that decides has changed, and only then."""

    def called():
        uv_calls.clear()
        activated(project)
        return list(uv_calls)

    assert called() == ["venv", "pip"]
    assert called() == []
    (project / "README").write_text("")
    os.utime(project / "requirements.txt")
    assert called() == []
    for name, text in {
        "requirements.txt": "tiny\n-r more.txt\n",
        "more.txt": "# nothing\n",
        "setup.cfg": "",
        "pyproject.toml": "[tool.x]\n",
        "uv.toml": "",
        ".python-version": "{}.{}\n".format(*sys.version_info),
    }.items():
        if name == "requirements.txt":
            (project / "more.txt").write_text("")
        (project / name).write_text(text)
        assert called() == ["pip"], name
        assert called() == [], name
    (project / ".venv/bin/python").unlink()
    assert called() == ["venv", "pip"]
    shutil.rmtree(project / ".venv")
    assert called() == ["venv", "pip"]
    assert called() == []


def test_another_interpreter(project, uv_calls, monkeypatch):
    """What ESKER_PYTHON names counts, and an interpreter that was exchanged in place is noticed."""
    activated(project)
    uv_calls.clear()
    monkeypatch.setenv("ESKER_PYTHON", sys.executable)
    activated(project)
    assert uv_calls == ["pip"]


def test_an_environment_by_hand(esker, project):
    """It is activated as it is, and a remark says once that nothing is installed into it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    first = esker("activate", "--", "sh", "-c", "command -v python; command -v tiny || true")
    assert first.out == f"{project}/.venv/bin/python\n"
    assert "was not made by Esker, so it is used as it is" in first.err
    assert esker("activate", "--", "true") == (0, "", "")


def test_the_library_undoes_everything(project, monkeypatch):
    """`Environment` sets the variables, gives them to programs, and leaves none behind."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    environment, before = Environment(project), dict(os.environ)
    assert environment.run(["tiny"], capture=True).stdout == "tiny runs\n"
    with environment:
        assert os.environ["VIRTUAL_ENV"] == f"{project}/.venv"
        assert "PYTHONHOME" not in os.environ
    assert dict(os.environ) == before
    assert environment.variables()["PATH"].startswith(f"{project}/.venv/bin:")


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_in_place_in_every_shell(shell, project, environ, tmp_path):
    """Each shell gets the variables, and loses them again, byte for byte."""
    if shutil.which(shell.name) is None:
        pytest.skip(f"there is no {shell.name} here")
    activated(project)
    person = Person(shell, environ, tmp_path)
    command = f"{sys.executable} -m esker"
    before = person.variables("true")
    inside = person.variables(f"cd {project}\n{shell.evaluated(f'{command} activate')}")
    assert inside["VIRTUAL_ENV"] == f"{project}/.venv"
    assert inside["PATH"].split(":")[0] == f"{project}/.venv/bin"
    both = f"cd {project}\n{shell.evaluated(f'{command} activate')}\n{shell.evaluated(f'{command} deactivate')}"
    after = person.variables(f"{both}\ncd -")
    for name in ("PATH", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"):
        assert after.get(name) == before.get(name)


def test_which_directory_is_the_project(project, esker):
    """A file of requirements below does not make another project in a repository; every other declaration comes first."""
    subprocess.run(["git", "init", "-q", project], check=True)
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    (project / "docs").mkdir()
    (project / "docs/requirements.txt").write_text("tiny\n")
    assert registry.find_project(str(project / "docs"), explicit=False) == (str(project), "venv")
    assert registry.find_project(str(project / "docs"), explicit=True) == (str(project / "docs"), "venv")
    (project / "shell.nix").write_text("")
    assert registry.find_project(str(project / "docs"), explicit=False) == (str(project), "nix")
    assert registry.find_project(str(project), explicit=True, runtime="venv") == (str(project), "venv")
    (project / ".flox").mkdir()
    assert registry.find_project(str(project / "docs"), explicit=False) == (str(project), "native")


def test_json_installs_nothing(esker, project):
    """The changes are shown once the environment is there; before, it is an error that says what to do."""
    refused = esker("activate", "--json")
    assert (refused.status, "esker activate -- true" in refused.err) == (1, True)
    assert not (project / ".venv").exists()
    esker("activate", "--", "true")
    changes = json.loads(esker("activate", "--json").out)
    assert changes["set"]["VIRTUAL_ENV"] == f"{project}/.venv"
    assert changes["prepend"]["PATH"] == [f"{project}/.venv/bin"]


def test_a_project_of_somebody_else(project, environ):
    """Nothing is built or made before the project was trusted; a file that others can write counts, too."""
    (project / "requirements.txt").chmod(0o666)
    with pytest.raises(NotTrusted, match=r"every user can write to `.*/requirements\.txt`"):
        Environment(project).variables()
    assert not (project / ".venv").exists()
    (project / "requirements.txt").chmod(0o644)
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv").chmod(0o777)
    with pytest.raises(NotTrusted, match=r"every user can write to `.*/\.venv`"):
        Environment(project).variables()


def test_a_project_that_cannot_be_made(esker, project):
    """uv's message is shown, and the command has not run."""
    (project / "requirements.txt").write_text("no-such-package\n")
    done = esker("activate", "--", "echo", "ran")
    assert (done.status, done.out) == (1, "")
    assert "cannot install what requirements.txt says into" in done.err
    assert "no-such-package was not found" in done.err
    assert "Traceback" not in done.err


def test_a_copied_project(project, tmp_path, uv_calls):
    """The copy's `.venv`, whose programs would run the original's, is made anew; the original stays as it is."""
    activated(project)
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    uv_calls.clear()
    with Environment(copy):
        assert os.environ["VIRTUAL_ENV"] == f"{copy}/.venv"
    assert uv_calls == ["venv", "pip"]
    for path in (copy, project):
        assert (path / ".venv/bin/tiny").read_text().startswith(f"#!{path}/.venv/bin/python")


def test_the_state_of_a_project_is_the_users(project, environ):
    """Plan and result lie in the user's own directory."""
    activated(project)
    state = f"{Settings(environ).own_state}/projects"
    (name,) = os.listdir(state)
    assert name.startswith("venv-project-")


def test_doctor_says_which_declaration_counts(esker, project):
    """A Python project needs no program on PATH; where there are several declarations, the first is named."""
    alone = esker("doctor", "-d", ".", PATH="/nonexistent").out
    assert f"✔ environment  `requirements.txt` in {project}, for the runtime `venv`\n" in alone
    assert "counts before" not in alone
    (project / "pyproject.toml").write_text("")
    (project / ".flox/env").mkdir(parents=True)
    (project / ".flox/env.json").write_text('{"name": "project", "version": 1}')
    (project / ".flox/env/manifest.toml").write_text('schema-version = "1.14.0"\n')
    said = esker("doctor").out
    order = ".flox, flake.nix, shell.nix, manifest.scm, pyproject.toml, setup.py, requirements.txt"
    assert f"`.flox/` counts before `pyproject.toml` (--runtime venv): the order is {order}\n" in said
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nrequires-python = "3.x"\n')
    assert esker("doctor", "-d", ".").status == 0
    of_venv = esker("doctor", "--runtime", "venv")
    assert of_venv.status == 1
    assert "✘ toolchain    " in of_venv.out
    assert "`requires-python` is `3.x`, which is not a version specifier" in of_venv.out
    (project / "pyproject.toml").write_text("")
    assert esker("activate", "--runtime", "venv", "--", "tiny").out == "tiny runs\n"


def test_doctor_says_what_an_activation_would_fail_at(esker, project, tmp_path):
    """Each with its advice: no Python that fits, a `.venv` that is a file, a project that others can change, no Nix."""
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.99"\n')
    done = esker("doctor", UV_PYTHON_DOWNLOADS="never")
    assert done.status == 1
    assert "✘ toolchain    A Python for `>=3.99` (pyproject.toml) is not on this machine; found: " in done.out
    assert "install it, then put it on PATH" in done.out
    records = json.loads(esker("doctor", "--json", UV_PYTHON_DOWNLOADS="never").out)
    assert [each["state"] for each in records if each["name"] in {"environment", "toolchain"}] == ["ok", "missing"]
    (project / "pyproject.toml").unlink()
    (project / ".venv").write_text("")
    assert "is there already, and it is no virtual environment: it is no directory" in esker("doctor").out
    (project / ".venv").unlink()
    (project / "requirements.txt").chmod(0o666)
    assert "every user can write to" in esker("doctor").out
    (project / "requirements.txt").chmod(0o644)
    assert esker("doctor").out.startswith(f"✔ environment  `requirements.txt` in {project}")
    assert "toolchain" not in esker("doctor").out
    for name, program in {"flake.nix": "nix", "manifest.scm": "guix"}.items():
        (project / name).write_text("")
        without = esker("doctor", PATH=str(tmp_path))
        assert without.status == 1
        assert f"✘ toolchain    `{program}` is not on PATH, and `{project}` is declared for it\n" in without.out
        assert f"install {program}, or name another declaration: --runtime\n" in without.out
        (project / name).unlink()
    assert not esker("doctor", cwd="/").out.startswith("✔ environment")


ENGINES = {
    "no docker": (None, "the command `docker` is not here", "install Docker"),
    "no Compose": ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", "compose", "install Docker Compose v2"),
    "no engine": ('[ "$1" = compose ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }', "Cannot connect", "start"),
    "all": ("exit 0", None, None),
}


@pytest.mark.parametrize(("docker", "said", "mend"), ENGINES.values(), ids=ENGINES)
def test_doctor_asks_the_engine_for_a_compose_file(esker, project, tmp_path, docker, said, mend):
    """Where a project has one, its services need Docker's command, Compose and an engine; elsewhere nothing does."""
    programs = tmp_path / "programs"
    programs.mkdir()
    if docker is not None:
        (programs / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (programs / "docker").chmod(0o755)
    assert "✘" not in esker("doctor", PATH=str(programs)).out
    (project / "compose.yaml").write_text("services: {a: {image: x}}\n")
    done = esker("doctor", PATH=str(programs))
    lines = [line for line in done.out.splitlines() if " docker " in line]
    if said is None:
        assert done.status == 0
        assert lines == [f"✔ docker       {programs}/docker"]
        return
    (line,) = [line for line in done.out.splitlines() if line.startswith(("✘", "- docker"))]
    assert done.status == 1
    assert line.startswith("✘ docker ")
    assert said in line
    assert mend in done.out.partition(line)[2].splitlines()[1]


def test_a_version_file_that_is_not_followed_is_told(esker, project):
    """A line says so when the environment is made."""
    (project / ".python-version").write_text("my-env\n")
    first = esker("activate", "--", "tiny")
    assert first.out == "tiny runs\n"
    assert f"{project}/.python-version: `my-env` is not followed: it names no version of CPython" in first.err
    assert esker("activate", "--", "tiny").err == ""


def test_options_for_a_tool_that_has_a_choice(esker, project):
    """A virtual environment has none, nor has a manifest of Esker's own: the option is refused, also by services."""
    compose = {"services": {"web": {"image": "x"}}}
    (project / "compose.yaml").write_text(json.dumps(compose))
    done = esker("activate", "--shell", "ci", "--", "true")
    assert done.status == 2
    assert "--shell is for Nix, and this environment comes from a virtual environment" in done.err
    (project / ".flox/env").mkdir(parents=True)
    (project / ".flox/env.json").write_text('{"name": "project", "version": 1}')
    (project / ".flox/env/manifest.toml").write_text(
        'schema-version = "1.14.0"\n[services]\nweb.command = "sleep 1000"\n'
    )
    done = esker("services", "start", "--impure")
    assert done.status == 2
    assert "these options are for an environment whose toolchain another tool gives" in done.err
    assert esker("services", "status", "--runtime", "guix").status == 1
    (project / "compose.yaml").unlink()
    assert "does not have any services" in esker("services", "start", "--runtime", "venv").err
    assert esker("services", "start").status == 0
    assert json.loads(esker("services", "status", "--json").out)[0]["name"] == "web"
    assert esker("services", "stop").status == 0


def test_a_member_of_a_workspace(esker, project, tmp_path):
    """It is activated by the environment of the root, whose files belong to its code."""
    member = project / "packages/a"
    member.mkdir(parents=True)
    (member / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\ndependencies = ["tiny"]\n')
    (project / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    (project / "pyproject.toml").chmod(0o666)
    refused = esker("activate", "--", "tiny", cwd=member)
    assert refused.status == 1
    assert f"every user can write to `{project}/pyproject.toml`" in refused.err
    (project / "pyproject.toml").chmod(0o644)
    assert esker("activate", "--", "sh", "-c", "tiny; echo $VIRTUAL_ENV", cwd=member).out == f"tiny runs\n{project}/.venv\n"
    assert not (member / ".venv").exists()


def test_an_active_environment_comes_first(esker, project, tmp_path):
    """Commands in a Python project around which an environment of a manifest is active mean that one."""
    other = tmp_path / "other"
    (other / ".flox/env").mkdir(parents=True)
    (other / ".flox/env.json").write_text('{"name": "other", "version": 1}')
    (other / ".flox/env/manifest.toml").write_text('schema-version = "1.14.0"\n')
    inside = esker("activate", "-d", str(other), "--", sys.executable, "-m", "esker", "list", "-c")
    assert inside.out.startswith('schema-version = "1.14.0"')


def test_commands_that_need_a_manifest(esker, project):
    """They say that there is none, and how to make one."""
    for words in (
        ["install", "pypi/tiny"],
        ["uninstall", "tiny"],
        ["upgrade"],
        ["list"],
        ["lock"],
        ["lock", "--check"],
        ["edit", "-n", "other"],
        ["generations", "list"],
        ["generations", "rollback"],
        ["include", "upgrade"],
        ["services", "add", "valkey"],
        ["why", "tiny"],
        ["outdated"],
    ):
        done = esker(*words)
        assert done.status == 1, words
        needed = f"`{project}` has no manifest, which this command needs: its environment is that of `requirements.txt`"
        assert needed in done.err, words
        assert f"make a manifest: esker init -d {project}" in done.err
    done = esker("services", "start")
    assert "declare them in a Compose file, or in a manifest: esker init" in done.err
    assert os.listdir(project) == ["requirements.txt"]
