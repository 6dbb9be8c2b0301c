"""The documents of the Flox integration: every block of code in them is run as it stands there."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/from-angreal.md").read_text()
CONCEPT = (ROOT / "docs/concepts/when-flox-venv-containers.md").read_text()
pytestmark = pytest.mark.slow


def blocks(text, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


MAKE, RUN, CHOOSE = blocks(GUIDE, "sh")
(MANIFEST,) = blocks(GUIDE, "toml")
TASKS, ASYNCHRONOUS = blocks(GUIDE, "python")


@pytest.fixture
def run(environ, tmp_path):
    """Give a function that runs a script in the project of the guide, and returns what it printed."""
    tmp_path.chmod(0o755)
    place = os.path.dirname(sys.executable)
    settings = environ | {"PATH": f"{place}:{os.environ['PATH']}", "ESKER_ENGINE": "native"}

    def shell(script, directory=tmp_path):
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eu", "-c", script],
            cwd=directory,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shell(MAKE)
    project = tmp_path / "greeter"
    with open(project / ".flox/env/manifest.toml", "a") as file:
        file.write(MANIFEST)
    (project / ".angreal/task_dev.py").write_text(TASKS)
    yield lambda script: shell(script, project)
    assert "Running" not in shell("esker services status", project)


def test_there_are_no_other_blocks():
    """Each language that the documents use is run here."""
    for text in (GUIDE, CONCEPT):
        assert set(re.findall(r"^```(\w+)", text, re.MULTILINE)) <= {"sh", "toml", "python"}
    assert not blocks(CONCEPT, "sh") + blocks(CONCEPT, "toml")


def test_the_tasks_of_the_guide(run):
    """Each function does what the guide says, called as Angreal calls it."""
    script = (
        "import runpy\n"
        "tasks = runpy.run_path('.angreal/task_dev.py')\n"
        "for task, given in (('greet', {'whom': 'Ada'}), ('check', {}), ('dev_up', {}), ('dev_down', {})):\n"
        "    tasks[task].__dict__['__command'].func(**given)\n"
    )
    said = run(f"python - <<'END'\n{script}END")
    assert re.fullmatch(r"hello Ada, from port \d{5}\nweb Running healthy\nup: web\ndown\n", said)


@pytest.mark.live("angreal")
def test_the_commands_of_the_guide(run):
    """Under the real task runner, which may ask the package index for news of itself."""
    said = run(f"{RUN}{CHOOSE}")
    lines = [line for line in said.splitlines() if "shell completion" not in line.lower() and "source" not in line]
    assert re.fullmatch(r"hello Ada, from port \d{5}", lines[0])
    assert lines[1:] == ["web Running healthy", "up: web", "down", "web Running healthy"]


def test_the_coroutine_of_the_guide(run):
    """Its output is that of the program, and the first line of the server's log."""
    said = run(f"python - <<'END'\n{ASYNCHRONOUS}END").splitlines()
    assert said[0] == "3 hello"
    assert said[1]


def test_the_python_of_the_comparison(run):
    """It says that the project is this one."""
    (code,) = blocks(CONCEPT, "python")
    assert run(f"python - <<'END'\n{code}END") == "True\n"


@pytest.mark.parametrize("text", [GUIDE, CONCEPT], ids=["guide", "comparison"])
def test_links_lead_somewhere(text):
    """Each relative link names a document that is there."""
    for target in re.findall(r"\]\((\.\./[^)#]+)\)", text):
        assert (ROOT / "docs/guides" / target).exists(), target


def test_the_errors_of_the_guide_are_there():
    """Every error that the guide names is a class of the tree."""
    from esker import errors

    table = GUIDE.partition("## Errors")[2].partition("##")[0]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"\| .*? \| (.*?) \|", table)))
    assert len(named) > 8
    for name in named:
        assert issubclass(getattr(errors, name), errors.EskerError)
