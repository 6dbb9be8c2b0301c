"""Leaving an environment, in each kind of shell that has one: real shells, with the real command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.terminal import on_a_terminal

HEAD = 'schema-version = "1.14.0"\n'
VARS = HEAD + '[vars]\nA = "1"\nPATH = "/mine:$PATH"\n'
LEAVE = 'eval "$(esker deactivate)"'
STATE = 'echo "${A-none} ${FLOX_ENV_DESCRIPTION-none} $PATH"'


@pytest.fixture
def home(environ, tmp_path):
    """Give the variables of a user whose `esker` is on PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "esker"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m esker "$@"\n')
    program.chmod(0o755)
    path = f"{programs}:/usr/bin:/bin"
    extra = {"PATH": path, "HOME": str(tmp_path / "home"), "NO_COLOR": "1", "TERM": "dumb", "HISTFILE": "/dev/null"}
    return {**environ, **extra}


@pytest.fixture
def run(home, tmp_path):
    """Give a function that runs a script in bash, and returns what it prints."""

    def run(script, **variables):
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=tmp_path,
            env=home | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout

    return run


@pytest.fixture
def typed(home, tmp_path):
    """Give a function that types lines into an interactive bash, and returns what the terminal shows."""

    def typed(*lines, bashrc="PS1='$ '\n"):
        (tmp_path / "home" / ".bashrc").write_text(bashrc)
        pairs, ready = [], "$ "
        for number, line in enumerate(lines, 1):
            pairs.append((ready, f"{line}\necho ready $(({number} + 0))\n"))
            ready = f"ready {number}\r"
        pairs.append((ready, "exit 0\n" * 4))
        received = on_a_terminal(["bash", "--noprofile", "-i"], environ=home, cwd=tmp_path, typed=pairs)
        return received.replace("\r", "")

    return typed


def test_a_command_of_activate_leaves_the_environment(run, project, home):
    """Within `activate -c` the variables are as they were before."""
    project(VARS)
    out = run(f"esker activate -d project -c '{STATE}; {LEAVE}; {STATE}'")
    assert out.splitlines()[0].startswith("1 project /mine:")
    assert out.splitlines()[1] == f"none none {home['PATH']}"


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_shell_below_a_command_leaves_the_environment(run, project, home, shell, tmp_path):
    """So they are in a shell that the command starts, where no script undoes a profile that never ran there."""
    project(VARS + '[profile]\ncommon = "f() { echo f; }"\ndeactivate.common = "f; unset -f f"\n')
    (tmp_path / "script").write_text(f"{LEAVE}\n{STATE}\n")
    assert run(f"esker activate -d project -c '{shell} script; :'") == f"none none {home['PATH']}\n"
    assert run(f"esker activate -d project -c '{LEAVE}'") == "f\n"


@pytest.mark.slow
def test_a_bash_below_an_interactive_activation_goes_on(typed, project, home):
    """There the variables are restored, and the shell above still has the environment, which its own end leaves."""
    project(VARS)
    shown = typed(
        "esker activate -d project",
        "bash --norc",
        LEAVE,
        f"echo below; {STATE}",
        "exit",
        f"echo above; {STATE}",
        "esker deactivate",
        f"echo outside; {STATE}",
    )
    assert f"\nbelow\nnone none {home['PATH']}\n" in shown
    assert "\nabove\n1 project /mine:" in shown
    assert f"\noutside\nnone none {home['PATH']}\n" in shown


def test_flox_passes_what_its_shells_remember(run, project, home):
    """Flox's own scripts call `deactivate --print-script "$_FLOX_INVOCATION_TYPES"`, which is understood."""
    project(VARS)
    leave = 'eval "$(esker deactivate --print-script "$_FLOX_INVOCATION_TYPES")"'
    assert run(f'eval "$(esker activate -d project)"; {leave}; {STATE}') == f"none none {home['PATH']}\n"


def test_a_script_that_prints_the_text_instead_says_what_to_do(run, project):
    """In a shell without our function, plain `deactivate` in a script prints the text, which begins with what to do."""
    project(VARS)
    out = run("esker activate -d project -c 'esker deactivate; echo $A'").splitlines()
    assert out[0] == """: 'This text is for a shell: eval "$(esker deactivate)"'"""
    assert out[-1] == "1"


def test_a_command_itself_has_nothing_to_leave(esker, project):
    """`activate -- CMD` gives CMD the variables and no more: it is told how to leave."""
    project(VARS)
    done = esker("activate", "--", sys.executable, "-m", "esker", "deactivate")
    assert (done.status, done.out) == (0, "")
    assert "No environment active!\n" not in done.err
    assert "`activate -- CMD`" in done.err


def test_a_command_leaves_no_environment_around_its_own(run, project):
    """Below the command of another environment, `deactivate` does not take the outer one away from under it."""
    two(project)
    tell = "esker activate -d two -- bash -c 'esker deactivate 2>&1'"
    out = run(
        f'eval "$(esker activate -d one)"; {tell}; esker activate -d one -- bash -c \'{LEAVE}; echo "${{N-none}}"\''
    )
    assert "`activate -- CMD`" in out.splitlines()[0]
    assert out.splitlines()[1:] == ["none"]


def two(project):
    for name in ("one", "two"):
        project(f'{HEAD}[vars]\nN = "{name}"\n', name=name)


WHICH = (
    'echo "$N $FLOX_ENV_DESCRIPTION $FLOX_PROMPT_ENVIRONMENTS:" '
    r"""$(tr : "\n" <<<$PATH | sed -n "s,.*[.]\(one\|two\)-dev/bin,\1,p")"""
)


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["", "PATH=/usr/bin:/bin"])
@pytest.mark.parametrize("how", ["esker activate -d two", 'eval "$(esker activate -d two)"'])
def test_an_environment_of_bashrc_stays_behind_the_projects(typed, project, tmp_path, how, reset):
    """In the project's shell, and in a shell inside it that reads ~/.bashrc too, the project's environment is first."""
    two(project)
    program = tmp_path / "programs" / "esker"
    shown = typed(
        f"export PATH={tmp_path}/programs:$PATH",
        "echo first; " + WHICH,
        how,
        "echo entered; " + WHICH,
        "bash",
        "echo below; " + WHICH,
        f'eval "$({program} deactivate)"; echo left; ' + WHICH,
        bashrc=f"PS1='$ '\n{reset}\neval \"$({program} activate -d {tmp_path}/one)\"\n",
    )
    assert "\nfirst\none one one: one\n" in shown
    assert "\nentered\ntwo two two one: two one\n" in shown
    assert "\nbelow\ntwo two two one: two one\n" in shown
    assert "\nleft\none one one: one\n" in shown


@pytest.mark.slow
def test_an_environment_that_only_bashrc_activates_inside(typed, project, tmp_path):
    """If the shell outside had no ~/.bashrc, the project's environment is the newest, and one `deactivate` leaves it."""
    two(project)
    program = tmp_path / "programs" / "esker"
    shown = typed(
        f"echo 'eval \"$({program} activate -d {tmp_path}/one)\"' >> ~/.bashrc",
        "esker activate -d two",
        "echo entered; " + WHICH,
        "esker deactivate",
        "echo left; " + WHICH,
    )
    assert "\nentered\ntwo two two one: two one\n" in shown
    assert "\nleft\n  :\n" in shown


VENV = """\
_OLD_VIRTUAL_PATH="$PATH"
VIRTUAL_ENV=/venv; export VIRTUAL_ENV
PATH="$VIRTUAL_ENV/bin:$PATH"; export PATH
PS1="(venv) ${PS1:-}"; export PS1
"""


def profile(text):
    return f"{VARS}[profile]\ncommon = '''\n{text}'''\n"


def test_what_a_profile_script_exports_is_undone(run, project):
    """It sources a venv's activate, changes and removes variables; `deactivate` gives back what was exported before."""
    project(profile(VENV + 'export PATH="$FLOX_ENV/bin:$PATH:/end" B=2 L="it\'s\n x"\nunset GONE\n'))
    state = 'env -0 | sort -z | grep -zv "^_=" | tr "\\0" "\\n"; echo "${PS1-no prompt}"; echo =='
    out = run(
        f'{state}; eval "$(esker activate -d project)"\n'
        'echo "$VIRTUAL_ENV $B ${GONE-gone} $PATH"; echo ==\n'
        f"esker deactivate; {state}",
        GONE="here",
        B="1",
    )
    before, inside, after, _ = out.split("==\n")
    assert inside.startswith("/venv 2 gone ")
    assert after == before


def test_what_the_user_changed_after_the_profile_stays(run, project, home):
    """Elements of a list that the user added stay, and so do values that the user has set since."""
    project(profile(VENV + "export B=2 C=2\n"))
    out = run(
        'eval "$(esker activate -d project)"; PATH=/user:$PATH:/last; B=user; export D=user; esker deactivate\n'
        'echo "$PATH $B ${C-none} $D ${VIRTUAL_ENV-none}"',
    )
    assert out == f"/user:{home['PATH']}:/last user none user none\n"


def test_a_script_that_undoes_the_profile_brings_nothing_back(run, project, home):
    """The `deactivate` of a venv sets PATH as it found it, with the environment in front; that does not stay."""
    undo = '[profile.deactivate]\nbash = "PATH=$_OLD_VIRTUAL_PATH; unset VIRTUAL_ENV _OLD_VIRTUAL_PATH"\n'
    project(profile(VENV) + undo)
    out = run(
        'eval "$(esker activate -d project)"; PATH=$PATH:/user; esker deactivate\n'
        'echo "$PATH ${VIRTUAL_ENV-none} ${_OLD_VIRTUAL_PATH-none}"',
    )
    assert out == f"{home['PATH']}:/user none none\n"


def test_profiles_of_two_environments_are_undone_in_turn(run, project, home):
    """The inner environment's profile is undone with it, over the outer one's, which stays."""
    for name in ("one", "two"):
        project(f"{HEAD}[profile]\ncommon = 'export N={name} {name.upper()}=1 PATH=/{name}:$PATH'\n", name=name)
    show = 'echo "$N ${ONE-} ${TWO-} ${PATH%%:*}"'
    out = run(
        f'eval "$(esker activate -d one)"; {show}; eval "$(esker activate -d two)"; {show}\n'
        f'esker deactivate; {show}; esker deactivate; echo "${{N-none}} ${{ONE-}} $PATH"'
    )
    assert out == f"one 1  /one\ntwo 1 1 /two\none 1  /one\nnone  {home['PATH']}\n"


def test_an_edited_environment_runs_its_new_profile(run, project, home):
    """Activating again after an edit undoes the earlier profile and runs the new one; leaving undoes that."""
    manifest = project(f"{HEAD}[profile]\ncommon = 'export A=1 B=1'\n") / ".flox/env/manifest.toml"
    out = run(
        f'eval "$(esker activate -d project)"; sed -i "s/A=1 B=1/A=2/" {manifest}\n'
        'eval "$(esker activate -d project)"; echo "$A ${B-none}"; esker deactivate; echo "${A-none}"'
    )
    assert out == "2 none\nnone\n"


@pytest.mark.slow
def test_the_prompt_is_the_users_again(typed, project):
    """A venv's name goes from the prompt, unless the user has changed it since: then only Esker's own text goes."""
    project(profile(VENV))
    enter = 'eval "$(esker activate -d project)"'
    shown = typed(enter, "esker deactivate", 'echo "<$PS1>"; env | grep -c ^PS1=')
    assert "esker [project] (venv) $ " in shown
    assert "\n<$ >\n0\n" in shown
    shown = typed(enter, 'PS1="mine $PS1"', "esker deactivate", 'echo "<$PS1>"')
    assert "\n<mine (venv) $ >\n" in shown
