"""What people see at the terminals in which they enter and leave projects, in tmux: real shells, the real command."""

from __future__ import annotations

import shutil

import pytest

from tests.support.shells import SHELLS, Person
from tests.support.tmux import Tmux

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

MANIFEST = """
schema-version = "1.15.0"
[vars]
A = '1'
[profile]
{shell} = "alias greet='echo hello $A'"
deactivate.{shell} = "{forget} greet"
[hook]
on-activate = "{hook}"
on-deactivate = 'echo ended > "$FLOX_ENV_PROJECT/ended"'
"""
WAITS = "cd $FLOX_ENV_PROJECT; [ ! -e wait ] || { echo waits >&2; until [ -e go ]; do sleep 0.1; done; }"
"""What the hook does: it waits, if it is told so by a file."""
JOB = """
echo ready
while read line && [ "$line" != end ]; do
    echo "job: $line ${A-none}"
done
"""
INSIDE = "esker [project] project>"
OUTSIDE = "work>"
PROMPTS = {
    "bash": r"PS1='\W> '",
    "zsh": "PS1='%1~> '",
    "fish": "function fish_prompt; echo -n (basename $PWD)'> '; end; function fish_greeting; end",
}


@pytest.fixture(params=SHELLS[:3], ids=lambda shell: shell.name)
def person(request, environ, tmp_path):
    """Give somebody with the hook in the start-up file, and a project in the directory `work`."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not on this machine")
    shell = request.param
    person = Person(shell, environ, tmp_path)
    del person.environ["NO_COLOR"]
    (tmp_path / "work").mkdir()
    forget = "functions -e" if shell.name == "fish" else "unalias"
    person.project(MANIFEST.format(shell=shell.name, forget=forget, hook=WAITS)).rename(tmp_path / "work/project")
    (tmp_path / "work/job").write_text(JOB)
    rc = person.home / shell.rc
    rc.parent.mkdir(parents=True, exist_ok=True)
    rc.write_text(f"{PROMPTS[shell.name]}\n{shell.evaluated(f'esker hook {shell.name}')}\n")
    return person


@pytest.fixture
def tmux(person):
    """Give the person a tmux."""
    with Tmux(person.environ) as running:
        yield running


@pytest.fixture
def terminal(person, tmux):
    """Give a terminal in `work`, at its first prompt."""
    return opened(person, tmux)


def opened(person, tmux):
    terminal = tmux.terminal(person.shell.interactive, person.place / "work")
    terminal.shows(OUTSIDE)
    return terminal


def allow(terminal, project):
    """Enter the directory, where the prompt asks for consent, and give it."""
    terminal.type("cd project")
    terminal.shows(asked(project), "project>")
    terminal.type("esker activate -- true && esker allow")
    terminal.shows(consented(project), INSIDE)


def asked(project):
    return f"! `{project}` has an environment, which the prompt does not activate yet: esker allow"


def consented(project):
    return f"✔ The prompt may activate `{project}`, until its content changes."


def test_a_project_is_allowed_entered_and_left(person, terminal):
    """Its name stands in the prompt and its alias works from `esker allow` on, and both are gone outside."""
    allow(terminal, person.place / "work/project")
    terminal.type("greet")
    terminal.shows("hello 1", INSIDE)
    terminal.type("cd ..")
    terminal.shows(f"{INSIDE} cd ..", OUTSIDE)
    terminal.type("type greet > /dev/null 2>&1 || echo gone")
    terminal.shows("gone", OUTSIDE)
    terminal.type("cd project")
    terminal.shows(f"{OUTSIDE} cd project", INSIDE)
    terminal.type("greet")
    terminal.shows("hello 1", INSIDE)


def test_two_terminals(person, terminal, tmux):
    """What one allows, the other takes at its next prompt; what one leaves, the other keeps."""
    other, project = opened(person, tmux), person.place / "work/project"
    other.type("cd project")
    other.shows(asked(project), "project>")
    allow(terminal, project)
    other.shows(asked(project), "project>")
    other.press("Enter")
    other.shows("project>", INSIDE)
    (project / "ended").unlink(missing_ok=True)  # of the activation before
    terminal.type("cd ..")
    terminal.shows(f"{INSIDE} cd ..", OUTSIDE)
    other.type("greet")
    other.shows("hello 1", INSIDE)
    assert not (project / "ended").exists()
    other.type("cd ..")
    other.shows(f"{INSIDE} cd ..", OUTSIDE)
    other.type("type greet > /dev/null 2>&1 || echo gone")
    other.shows("gone", OUTSIDE)
    terminal.type("tail -n 1 -F project/ended")
    terminal.shows("ended")


def test_a_suspended_job(person, terminal):
    """A job goes on where it was suspended: inside, outside when it began inside, and inside when it began outside."""
    project = person.place / "work/project"
    allow(terminal, project)
    start(terminal, "sh ../job", INSIDE)
    for between in ("greet", "cd ..", "cd project"):
        before = OUTSIDE if between == "cd project" else INSIDE
        prompt = OUTSIDE if between == "cd .." else INSIDE
        suspend(terminal, before)
        terminal.type(between)
        terminal.shows(*(["hello 1"] if between == "greet" else [f"{before} {between}"]), prompt)
        resume(terminal, between, "1")
    end(terminal, INSIDE)
    terminal.type("cd ..")
    terminal.shows(f"{INSIDE} cd ..", OUTSIDE)
    start(terminal, "sh job", OUTSIDE)
    suspend(terminal, OUTSIDE)
    terminal.type("cd project")
    terminal.shows(f"{OUTSIDE} cd project", INSIDE)
    resume(terminal, "inside", "none")
    end(terminal, INSIDE)
    terminal.type("greet")
    terminal.shows("hello 1", INSIDE)


def test_ctrl_z_while_the_prompt_waits(person, terminal):
    """A hook is not suspended, in a shell below another one either: the shell would wait for it for ever."""
    project = person.place / "work/project"
    allow(terminal, project)
    terminal.type("cd ..")
    terminal.shows(f"{INSIDE} cd ..", OUTSIDE)
    command = " ".join(person.shell.interactive)
    terminal.type(command)
    terminal.shows(f"{OUTSIDE} {command}", OUTSIDE)
    (project / "wait").touch()
    terminal.type("cd project")
    terminal.shows("waits")
    terminal.press("C-z")
    (project / "go").touch()
    terminal.press("Enter")
    terminal.shows(INSIDE)
    terminal.type("greet")
    terminal.shows("hello 1", INSIDE)


def start(terminal, command, prompt):
    terminal.type(command)
    terminal.shows(f"{prompt} {command}", "ready")


def suspend(terminal, prompt):
    terminal.press("C-z")
    terminal.shows(prompt)


def resume(terminal, typed, value):
    """Fetch the job, which reads what is typed and knows the environment that it began in."""
    terminal.type("fg")
    terminal.runs("sh")
    terminal.type(typed)
    terminal.shows(typed, f"job: {typed} {value}")


def end(terminal, prompt):
    terminal.type("end")
    terminal.shows(prompt)
