from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import select
import shutil
import string
import subprocess
import sys
from functools import partial

import pytest

from esker.activate import plan
from esker.activate.composition import activation
from esker.activate.difference import Activation
from esker.activate.shells import undo
from esker.activate.shells.shell import shell
from tests.support import plans

PATH = os.environ["PATH"]
LINK = "/p/it's/.flox/run/s.app-run"
BASH = shell("/usr/bin/bash")
a_plan = partial(plans.a_plan, project="/p/it's", mode="run", flox_env=LINK)


def activator(made):
    return lambda environ: activation(made, environ, runtime_directory="/r")


def in_place(made, environ, **options):
    return BASH.in_place(made, environ, activator(made), **options)


def bash(script, environ, **settings):
    """Return what a bash that evaluates the script prints; its exit status must be 0."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        env=environ,
        stdout=subprocess.PIPE,
        check=True,
        **settings,
    ).stdout


def after(script, environ):
    """Return the variables of a program that bash starts after the script."""
    found = bash(f"{script}\nexec env -0", environ)
    pairs = (entry.split("=", 1) for entry in os.fsdecode(found).split("\0") if entry)
    return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}


def test_the_whole_text_in_place():
    """The script has one plain line for each variable, between two lines that only bash obeys."""
    environ = {"PATH": "/a", "GONE": "x", "LINES": "1"}
    found = Activation(
        set={
            "QUOTE": "it's",
            "QUOTES": "it's $5",
            "PLAIN": "a b$c\\",
            "LINES": "a\nexport E=1\t\x1b",
            "BYTES": "é\udcff",
            "not-a-name": "",
        },
        unset=["GONE"],
        prepend={"PATH": ["/e"]},
    )
    made = a_plan(profile={"common": "echo 'one'\n", "bash": "two", "zsh": "no"})
    text = BASH.in_place(made, environ, lambda _: found)
    lines = text.splitlines()
    assert lines[0].startswith('[ -z "${BASH_VERSION-}" ] || \\builtin eval $\'')
    assert lines[1:8] == [
        rf"{SH} BYTES=$(printf %b. '\0303\0251\0377') && BYTES=${{BYTES%.}} || BYTES=$'é\xff'; export BYTES",
        "unset GONE",
        rf"{SH} LINES=$(printf %b. 'a\0012export E=1\0011\0033') && LINES=${{LINES%.}} || LINES=$'a\nexport E=1\t\x1b'; export LINES",
        "export PATH='/e:/a'",
        r"export PLAIN='a b$c\'",
        'export QUOTE="it\'s"',
        r"QUOTES='it'\''s $5'; export QUOTES",
    ]
    assert lines[8].startswith("export _ESKER_UNDO='")
    assert lines[9].startswith(lines[0].partition("$")[0])
    assert len(lines) == 10


SH = '[ -z "${BASH_VERSION-}" ] &&'
HOSTILE = {
    "A": 'it\'s "x" `y` $(z) \\ !',
    "B": "line\nexport EVIL=1\n",
    "C": "\udcff\udc80é",
    "D": "",
    "E": "\x01\x7f\t\r",
    "F": "-n",
    "G": "*",
    "H": "'",
    "I": " it's !! !x #; é '",
}


def test_bash_understands_every_value():
    """Evaluating the script gives exactly the variables of the activation."""
    environ = {"PATH": PATH, "GONE": "x", "A": "old"}
    found = Activation(set=HOSTILE, unset=["GONE"], prepend={"PATH": ["/with space/it's"]})
    text = BASH.in_place(a_plan(), environ, lambda _: found)
    result = after(text, environ)
    assert undo.VARIABLE in result
    assert {name: result[name] for name in result if name != undo.VARIABLE} == found.apply(environ)


@pytest.mark.parametrize("name", ["sh", "dash"])
def test_any_shell_understands_every_value(name):
    """A shell without `$''` gets exactly the same variables, including values that end in newlines."""
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")
    found = Activation(set=HOSTILE)
    text = BASH.in_place(a_plan(), {"PATH": PATH}, lambda _: found)
    done = subprocess.run(
        [name, "-eu", "-c", f"{text}\nexec env -0"], env={"PATH": PATH}, capture_output=True, check=True
    )
    pairs = dict(entry.split("=", 1) for entry in os.fsdecode(done.stdout).split("\0") if entry)
    assert {key: pairs[key] for key in HOSTILE} == HOSTILE


def test_sh_understands_the_variables(tmp_path):
    """A shell other than bash gets the variables, and the rest of the script does not stop it."""
    made = a_plan(profile={"common": "echo no"})
    script = f'set -eu\n{in_place(made, {"PATH": PATH})}\nprintf %s "$FLOX_ENV_DESCRIPTION"'
    done = subprocess.run(["sh", "-c", script], env={"PATH": PATH}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("app", "")


def evaluated(tmp_path, environ, body, **plan_fields):
    """Run a script in which a program `esker` activates and deactivates, as the real command does."""
    fields = repr(plan_fields)
    program = tmp_path / "esker"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "from esker.activate import plan\n"
        "from esker.activate.shells.shell import shell\n"
        "from esker.activate.composition import activation\n"
        f"fields = dict(project=\"/p/it's\", name='app', mode='run', system='s', flox_env={LINK!r}, store_path='/s', stats=())\n"
        f"fields |= {fields}\n"
        "if os.environ.get('OTHER'):\n"
        "    fields |= dict(project='/q', name='other', flox_env='/q/run')\n"
        "made = plan.completed(plan.Plan(**fields))\n"
        "if sys.argv[1] == 'activate':\n"
        "    activate = lambda environ: activation(made, environ, runtime_directory='/r')\n"
        "    print(shell().in_place(made, os.environ, activate), end='')\n"
        "elif sys.argv[1:] == ['deactivate', '--profile']:\n"
        "    print(shell().remember_profile(dict(os.environ), sys.stdin.read()), end='')\n"
        "elif sys.argv[1:] == ['deactivate']:\n"
        "    print(shell().deactivation(os.environ) or '', end='')\n"
        "else:\n"
        "    print(sys.argv[1:])\n"
    )
    program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{PATH}", **environ}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", body], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


ACTIVATE = 'eval "$(esker activate)"\n'


def test_deactivating_gives_back_what_was_there(tmp_path):
    """Every variable is as it was before, byte for byte, and so are functions, options and shell variables."""
    state = "env -0 | grep -zv ^_= | sort -z; declare -F; echo $-; compgen -v | grep -iE 'esker|flox'; :"
    body = f'({state}); echo =; {ACTIVATE}echo "$FLOX_ENV_DESCRIPTION"; echo =; eval "$(esker deactivate)"; ({state})'
    out, err = evaluated(
        tmp_path,
        {"X": "a\nb\\'", "MANPATH": "::"},
        body,
        vars=[("X", "new"), ("PATH", "${PATH}:/x")],
        profile={"common": ":"},
    )
    before, active, after = out.split("=\n")
    assert (active, err) == ("app\n", "")
    assert before == after
    assert "X=a\nb\\'\0" in after


CHANGED_SHELLS = {
    "aliases": "shopt -s expand_aliases\n"
    'for name in export unset eval set . builtin command printf shopt exec; do alias $name="echo aliased"; done',
    "functions": 'for name in export unset eval set . command printf shopt read hash; do builtin eval "$name() { echo called; }"; done',
    "an exported function": "export() { echo called; }; builtin export -f export",
    "keywords anywhere": "set -k",
    "strict": "set -eu -o pipefail",
    "no globs, no overwriting": "set -fC; shopt -s failglob nullglob nocasematch",
    "other separators": "IFS=e; OPTIND=3",
    "no separators": "IFS=",
    "posix": "set -o posix",
    "posix with functions": "unset() { echo called; }; set -o posix",
    "posix from above": "export POSIXLY_CORRECT=mine",
    "everything exported": "set -a",
    "traps": "trap 'echo trapped >&2' ERR; set -E",
    "no remembered programs": "set +h; shopt -s nocasematch; set -H",
}


@pytest.mark.slow
@pytest.mark.parametrize("setting", CHANGED_SHELLS.values(), ids=CHANGED_SHELLS)
def test_a_shell_that_means_other_things_by_its_words(tmp_path, setting):
    """Whatever aliases, functions and options the user has, the script works and leaves them as they were."""
    state = "env -0 | grep -zv ^_= | sort -z; builtin declare -fp; builtin alias; echo $-; shopt; builtin trap"
    body = (
        f'{setting}\n\\builtin eval "$(esker activate)"\n'
        'echo "$FLOX_ENV_DESCRIPTION ${GONE-gone} $P; $LINES; ${X-}"\n'
        "esker deactivate --help\nesker deactivate\n"
        'echo "${FLOX_ENV_DESCRIPTION-none} $GONE"\n'
    )
    shown = f"{{ {state}; }} 2>/dev/null || :"
    environ = {"GONE": "back", "LINES": "1"}
    profile = {"common": "P='x y=z'\n[[ ${1-} ]] || return 0\n"}
    fields = {"vars": [("LINES", "a\nb")], "hook": "unset GONE", "profile": profile}
    out, err = evaluated(tmp_path, environ, body, **fields)
    assert (out, err) == ("app gone x y=z; a\nb; \n['deactivate', '--help']\nnone back\n", "")
    before, _ = evaluated(tmp_path, environ, f"{setting}\n{shown}", **fields)
    body = f'{setting}\n\\builtin eval "$(esker activate)"\nesker deactivate\n\\builtin unset -v P\n{shown}'
    assert evaluated(tmp_path, environ, body, **fields)[0] == before


@pytest.mark.parametrize("option", ["+h", "-h"])
def test_whether_bash_remembers_programs_is_the_users_choice(tmp_path, option):
    """`set +h` before an activation survives it, and without it bash remembers where programs are once more."""
    state = "echo $-"
    nested = f"{ACTIVATE}{ACTIVATE}"
    out, _ = evaluated(tmp_path, {}, f"set {option}; {state}; {nested}{state}; esker deactivate; {state}")
    before, inside, after = out.splitlines()
    assert (before, "h" in inside) == (after, False)


@pytest.mark.slow
def test_plain_deactivate_works_through_the_function(tmp_path):
    """After `eval`, `esker deactivate` changes the shell without `eval`; other subcommands reach the program."""
    body = f'{ACTIVATE}esker deactivate\necho "${{FLOX_ENV-none}}"; esker deactivate; {ACTIVATE}esker deactivate --help "a b"\n'
    body += f'( {ACTIVATE}esker deactivate; echo "${{FLOX_ENV-none}}" )'
    out, _ = evaluated(tmp_path, {}, body)
    assert out == "none\n['deactivate', '--help', 'a b']\nnone\n"


def test_a_program_with_a_path_is_called_by_it():
    """The function has the name of the command, and calls the program that was called first."""
    text = in_place(a_plan(), {}, program="/opt/my tools/flox")
    assert "function flox {" in text
    assert "/opt/my tools/flox" in text
    assert "function esker {" in in_place(a_plan(), {}, program="/opt/python -m")


def test_the_hook_runs_once(tmp_path):
    """A second `eval` finds the environment active: neither hook nor profile runs again."""
    body = f'{ACTIVATE}{ACTIVATE}echo "$FLOX_PROMPT_ENVIRONMENTS $A"; esker deactivate; echo "${{A-none}}"'
    out, err = evaluated(tmp_path, {}, body, hook="echo ran; export A=${A}x", profile={"common": "echo profile"})
    assert err == "ran\n"
    assert out == "profile\napp x\nnone\n"


def test_profile_scripts_are_read_as_files(tmp_path):
    """`return` ends a profile script, its variables and functions are the shell's, and bash's script comes last."""
    profile = {
        "common": "echo common\nshell_variable=1\nf() { echo f; }\nreturn\necho never",
        "bash": "declare -A map=([k]=v)\necho bash it\\'s",
        "zsh": "echo zsh",
    }
    out, err = evaluated(tmp_path, {}, f'{ACTIVATE}f; echo "$shell_variable ${{map[k]}}"', profile=profile)
    assert (out, err) == ("common\nbash it's\nf\n1 v\n", "")


def test_deactivation_reads_the_scripts_for_it(tmp_path):
    """`profile.deactivate` runs after the variables are restored: bash's own script first, then the common one."""
    out, _ = evaluated(
        tmp_path,
        {},
        f"{ACTIVATE}echo active; esker deactivate; {ACTIVATE}echo again",
        profile={"common": "echo in"},
        deactivate={"common": 'echo common "${FLOX_ENV-none}"', "bash": "echo bash", "zsh": "echo zsh"},
    )
    assert out == "in\nactive\nbash\ncommon none\nin\nagain\n"


def test_environments_in_place_leave_in_turn_and_edits_stay(tmp_path):
    """The environment that was activated last leaves first, and the user's changes in between are kept."""
    body = (
        f"{ACTIVATE}export MINE=1 Y=mine PATH=$PATH:/mine\nOTHER=1; export OTHER; {ACTIVATE}"
        'echo "$FLOX_PROMPT_ENVIRONMENTS"; esker deactivate; echo "$FLOX_PROMPT_ENVIRONMENTS $Y"\n'
        'esker deactivate; echo "${FLOX_PROMPT_ENVIRONMENTS-none} $MINE $Y ${X-none} ${PATH##*:}"'
    )
    out, err = evaluated(tmp_path, {}, body, vars=[("X", "1"), ("Y", "1")])
    assert (out, err) == ("other app\napp mine\nnone 1 mine none /mine\n", "")


def test_an_environment_that_changed_is_entered_anew(tmp_path):
    """Variables that the changed manifest no longer has are removed; leaving restores the original values."""
    environ = {"PATH": PATH, "A": "0"}
    first = after(in_place(a_plan(vars=[("A", "1"), ("OLD", "1")]), environ), environ)
    second = after(in_place(a_plan(vars=[("A", "2")]), first), first)
    assert (second["A"], second.get("OLD"), second["FLOX_PROMPT_ENVIRONMENTS"]) == ("2", None, "app")
    assert after(BASH.deactivation(second), second) == environ


def test_an_environment_activated_again_is_left_once(tmp_path):
    """A second activation restores its values, even over another environment's, and one deactivation undoes both."""
    environ = {"PATH": PATH}
    first = after(in_place(a_plan(), environ), environ)
    wrong = {**first, "FLOX_ENV": "WRONG"}
    second = after(in_place(a_plan(), wrong), wrong)
    assert second["FLOX_ENV"] == LINK
    assert f"export PATH='{LINK}" not in in_place(a_plan(), wrong)
    assert after(BASH.deactivation(second), second) == environ


@pytest.mark.parametrize("value", [None, "", "rubbish", "e30="])
def test_there_is_nothing_to_leave(value):
    """Without a saved state, or with a state that is not ours, there is no script."""
    assert BASH.deactivation({} if value is None else {undo.VARIABLE: value}) is None


def test_an_environment_inside_an_interactive_shell_leaves_first(home):
    """In a shell that Esker started, leaving is `exit`; an environment that was activated inside leaves first."""
    typed = 'eval "$(cat inner)"; eval "$(cat leave)"; echo "<$FLOX_ENV_DIRS>"; echo not $((40 + 2))\nexit 0\n'
    made, inner = a_plan(flox_env="/e"), a_plan(project="/q", name="inner", flox_env="/i")
    environ = activator(made)(home).apply(home)
    variables = {**environ, **undo.enter(made, home, activator(made))}
    inside = {name: value for name, value in variables.items() if value is not None}
    entered = in_place(inner, inside)
    there = after(entered, inside)
    with open(f"{home['HOME']}/inner", "w") as file:
        file.write(entered)
    with open(f"{home['HOME']}/leave", "w") as file:
        file.write(BASH.deactivation(there))
    with open(f"{home['HOME']}/end", "w") as file:
        file.write(BASH.deactivation(inside))
    shown = interactive(made, home, f"cd {home['HOME']}; {typed}")
    assert "</e>\nnot 42\n" in shown
    shown = interactive(made, home, f'cd {home["HOME"]}; eval "$(cat end)"; echo not $((40 + 2))\n')
    assert "not 42" not in shown


def inheritable():
    """Return the descriptors that a program would inherit."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the directory's own
            found |= {int(name)} if os.get_inheritable(int(name)) else set()
    return found


@contextlib.contextmanager
def kept():
    """Give a function that returns the descriptors opened in the block; all are closed at the end."""
    before, new = inheritable(), set()
    yield lambda: new.update(inheritable() - before) or new
    for descriptor in new:
        os.close(descriptor)


def commanded(text, made, environ=None, **settings):
    environ = environ or {"PATH": PATH}
    found = activator(made)(environ)
    with kept() as descriptors:
        argv, variables = BASH.command(made, environ, found, text)
        return subprocess.run(
            argv,
            env=variables,
            pass_fds=descriptors(),
            capture_output=True,
            text=True,
            check=False,
            **settings,
        )


def test_the_messages_of_a_command_name_the_script_and_its_line(tmp_path, monkeypatch):
    """The bash that runs a command tells of each script by its name; without a directory of ours it goes without."""
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    made = a_plan(profile={"common": "\nnosuch-common", "bash": "nosuch-bash; return 4"})
    named, unnamed = (f"{own}/profile.common", f"{own}/profile.bash"), ("/proc/self/fd/63", "/proc/self/fd/63")
    for directory, names in ((str(own), named), (f"{own}/missing", unnamed)):
        monkeypatch.setattr("esker.host.runtime_directory.user_directory", lambda _, found=directory: found)
        done = commanded("echo done", made)
        assert (done.stdout, done.stderr.splitlines()) == (
            "done\n",
            [
                f"{names[0]}: line 2: nosuch-common: command not found",
                f"{names[1]}: line 1: nosuch-bash: command not found",
            ],
        )


def test_a_command_runs_after_the_profile_scripts():
    """The common and bash's scripts are read once; exit status and standard input are those of the command."""
    made = a_plan(profile={"common": "echo common; X=1; return 1", "bash": "f() { echo f; }", "zsh": "echo zsh"})
    done = commanded('f; echo "$X $0"; cat; exit 7', made, input="typed")
    assert (done.returncode, done.stdout, done.stderr) == (
        7,
        f"common\nf\n1 {BASH.command(made, {'PATH': PATH}, Activation(), '')[0][0]}\ntyped",
        "",
    )


def test_a_command_runs_after_a_script_with_a_syntax_error(tmp_path):
    """What came before the mistake has run, one warning names the line in the manifest, and the command runs."""
    (tmp_path / ".flox/env").mkdir(parents=True)
    manifest = tmp_path / ".flox/env/manifest.toml"
    manifest.write_text("[profile]\ncommon = '''\n  A=1\n  fi\n'''\nbash = '''\n  B=2\n  if true; then\n'''\n")
    made = a_plan(project=str(tmp_path), profile={"common": "A=1\nfi\n", "bash": "B=2\nif true; then\n"})
    done = commanded("echo $A$B", made)
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert [line for line in done.stderr.splitlines() if line.startswith("!")] == [
        f"! profile.common has a syntax error ({manifest}:4); only the commands before it have run",
        f"! profile.bash has a syntax error ({manifest}:8); only the commands before it have run",
    ]


@pytest.mark.parametrize(
    ("script", "status"), [("set -e\nfalse", 1), ("exit 3", 3), ("exit", 0), ("set -eu\necho $NONE", 1)]
)
def test_a_script_that_ends_the_shell_of_a_command_is_named(tmp_path, script, status):
    """The command does not run then, so an error says why, with the script's place; the status is the script's."""
    (tmp_path / ".flox/env").mkdir(parents=True)
    manifest = tmp_path / ".flox/env/manifest.toml"
    manifest.write_text(f"[profile]\ncommon = 'A=1'\nbash = '''\n{script}\n'''\n")
    made = a_plan(project=str(tmp_path), profile={"common": "A=1", "bash": f"{script}\n"})
    done = commanded("echo ran", made)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.splitlines()[-2:] == [
        f"✘ ERROR: profile.bash ({manifest}:4) has ended the shell with status {status}, so the command was not run",
        "hint: write `return` for `exit`, and under `set -e` put `|| true` behind what may fail",
    ]


def test_a_command_keeps_nothing_of_what_watches_the_scripts():
    """A trap of a script's own stays; without one the command has none, and the status is the command's."""
    left = "trap -p EXIT; declare -F; compgen -v _esker; exit 7"
    done = commanded(left, a_plan(profile={"bash": "(exit 3); return 4"}))
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
    done = commanded("exit 7", a_plan(profile={"bash": "trap 'echo mine' EXIT"}))
    assert (done.returncode, done.stdout, done.stderr) == (7, "mine\n", "")


def test_a_syntax_error_in_a_profile_is_told_in_place_too(tmp_path):
    """The shell goes on, whatever options it has, and the warning names the script's own line if that is all we know."""
    for option in ("", "set -u; IFS=3"):
        out, err = evaluated(
            tmp_path,
            {},
            f"{option}\n{ACTIVATE}echo go$A; declare -F; esker deactivate; echo $A",
            profile={"common": "A=1\nif\n"},
            deactivate={"bash": "A=2\nif\n"},
        )
        assert out == "go1\ndeclare -f esker\n2\n"
        assert [line for line in err.splitlines() if line.startswith("!")] == [
            f"! profile.{name} has a syntax error (line 2 of the script, /p/it's/.flox/env/manifest.toml); "
            "only the commands before it have run"
            for name in ("common", "deactivate.bash")
        ]


def test_a_command_runs_after_a_script_with_any_status():
    """The status of a profile script is ignored, and the script may change shell options for itself."""
    script = "shopt -s extglob\ncase ab in +(a|b)) A=1 ;; esac\neval ')' 2>/dev/null\nreturn 4"
    assert commanded("echo $A", a_plan(profile={"common": script})).stdout == "1\n"


def test_a_command_without_profile_needs_no_file():
    """Without profile scripts, the command is plain `bash -c`."""
    argv, _ = BASH.command(a_plan(), {"PATH": PATH}, Activation(), "echo 'a'")
    assert argv[1:] == ["--noprofile", "--norc", "-c", "echo 'a'"]


def test_a_command_runs_with_a_variable_that_is_almost_too_large():
    """What is to be undone is then too large for a variable, and is left out, so that programs still start."""
    large = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=120_000))
    done = commanded("/bin/sh -c 'echo ${#A}'", a_plan(vars=[("A", large)]))
    assert done.stdout == f"{len(large)}\n"


def test_no_descriptor_reaches_the_command():
    """The file of the scripts is closed before the command runs."""
    listing = "ls -l /dev/fd/ | grep -c memfd; :"
    assert commanded(listing, a_plan(profile={"common": "ls -l /dev/fd/ | grep -c memfd"})).stdout == "0\n0\n"
    assert commanded("echo $MADE", a_plan(profile={"common": "MADE=1"})).stdout == "1\n"


def test_scripts_of_outer_environments_come_first(tmp_path):
    """Aliases and functions are not inherited, so the scripts of all active environments are read, the oldest first."""
    outer = str((tmp_path / "outer").resolve())
    os.makedirs(f"{outer}/.flox")
    older = a_plan(project=outer, name="outer", flox_env=f"{outer}/run", profile={"common": "echo outer"})
    plan.write(older, plan.plan_path(outer, "run"))
    gone = a_plan(project="/gone", name="gone", flox_env="/gone/run")
    environ = {"PATH": PATH}
    for each in (gone, older):
        environ = activator(each)(environ).apply(environ)
    assert (
        commanded("echo command", a_plan(profile={"common": "echo inner"}), environ).stdout == "outer\ninner\ncommand\n"
    )


def interactive(made, environ, typed, bashrc=""):
    """Type into an interactive shell on its own terminal, and return everything that the terminal shows."""
    with open(f"{environ['HOME']}/.bashrc", "w") as file:
        file.write(bashrc)
    found = activator(made)(environ)
    with kept() as descriptors:
        argv, variables = BASH.interactive(made, environ, found)
        descriptors()
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(argv[0], argv, variables)
    os.write(terminal, typed.encode())
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while select.select([terminal], [], [], 10)[0] and (chunk := os.read(terminal, 4096)):
            shown += chunk
    os.close(terminal)  # hangs up, if the shell still runs
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return shown.decode().replace("\r", "")


@pytest.fixture
def home(tmp_path):
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1", "HISTFILE": "/dev/null"}


def test_the_activation_wins_over_the_users_bashrc(home):
    """Variables that ~/.bashrc sets are set again, and the environment comes before the paths that it adds."""
    made = a_plan(
        flox_env="/e", vars=[("X", "declared"), ("PATH", "${PATH}:/late")], profile={"common": "echo profile"}
    )
    bashrc = (
        "alias greet='echo hello'; export X=rc FLOX_ENV=rc PATH=/rc:$PATH:/e/bin; unset MANPATH; echo read; PS1='\\w$ '"
    )
    shown = interactive(made, home, 'echo "<$X $FLOX_ENV $PATH $MANPATH>"; greet\nexit\n', bashrc)
    assert shown.index("read\n") < shown.index("profile\n")  # the terminal may echo what is typed between them
    assert "<declared /e /e/bin:/rc:/usr/bin:/bin:/late /e/share/man:>\n" in shown
    assert "\nhello\n" in shown


def test_a_bashrc_that_makes_path_anew_keeps_nothing_from_the_end(home):
    """If ~/.bashrc sets PATH anew, all elements that the environment appends come back, once."""
    made = a_plan(flox_env="/e", vars=[("PATH", "${PATH}:/late:/later:/last")])
    shown = interactive(made, home, 'echo "<$PATH>"\nexit\n', "PATH=/rc:/later:/bin")
    assert "</e/bin:/rc:/later:/bin:/late:/last>\n" in shown


def test_data_directories_of_the_users_bashrc_come_before_the_systems(home):
    """The default of XDG_DATA_DIRS stays behind what ~/.bashrc adds to it."""
    shown = interactive(
        a_plan(flox_env="/e"), home, 'echo "<$XDG_DATA_DIRS>"\nexit\n', "XDG_DATA_DIRS=/rc:$XDG_DATA_DIRS"
    )
    assert "</e/share:/rc:/usr/local/share/:/usr/share/>\n" in shown


@pytest.mark.parametrize(
    "bashrc",
    [
        'alias export="echo no" unset="echo no" local="echo no"',
        "export() { echo no; }; unset() { echo no; }; . () { echo no; }; set() { echo no; }",
        "set -k",
        "set -u",
    ],
)
def test_a_bashrc_that_gives_words_another_meaning(home, bashrc):
    """Aliases and functions of ~/.bashrc do not disturb the activation, and stay as they are."""
    made = a_plan(flox_env="/e", vars=[("X", "declared")], profile={"common": "echo profile"})
    shown = interactive(
        made, home, 'echo "<$X $PATH>"; compgen -A function _esker; exit 0\n', f"X=rc PATH=/rc; {bashrc}"
    )
    assert "profile\n" in shown
    assert "<declared /e/bin:/rc>\n" in shown
    assert "\n_esker" not in shown.replace("\n_esker_again\n", "\n")
    assert "no X=" not in shown


def test_an_interactive_shell_in_posix_mode(home):
    """In posix mode bash would not read our file at its start, so the shell enters that mode after reading it."""
    made = a_plan(flox_env="/e", profile={"common": "echo profile"})
    typed = 'echo "<$POSIXLY_CORRECT $(shopt -o posix)>"; declare -F esker; esker deactivate\nexit\n'
    shown = interactive(made, {**home, "POSIXLY_CORRECT": "mine"}, typed, "PS1='$ '")
    assert "profile\n" in shown
    assert "<mine posix          \ton>\n" in shown
    assert "\nesker\n" in shown


@pytest.mark.parametrize(
    ("bashrc", "prompt"),
    [
        ("PS1='$ '", "esker [app] $ "),
        ("PS1='first\\nsecond$ '", "first\nesker [app] second$ "),
        ("PS1='$ '; FLOX_PROMPT=mine", "mine [app] $ "),
        ("FLOX_SAVE_BASH_PS1='of another, before the prompt was set'; PS1='$ '", "\nesker [app] $ "),
        ("PS1='esker [${FLOX_PROMPT_ENVIRONMENTS-}] $ '", "\nesker [app] $ "),
        ("PS1='$ '; unset NO_COLOR", "\x1b[1;38;5;99mesker \x1b[1;38;5;141m[app]\x1b[0m $ "),
    ],
)
def test_the_prompt_names_the_environments(home, bashrc, prompt):
    """The names of the environments come before the user's own prompt, or before its second line."""
    shown = interactive(a_plan(flox_env="/e"), home, "exit\n", f"{bashrc}; echo")
    assert prompt in shown


def test_a_name_in_the_prompt_is_not_evaluated(home, tmp_path):
    """A name may contain any character except space and slash, and the prompt shows it without evaluating it."""
    name = "$(>ran)`>ran`\\a"
    shown = interactive(a_plan(name=name, flox_env="/e"), home, f"cd {tmp_path}; :\nexit\n", "PS1='$ '")
    assert f"[{name}]" in shown
    assert not (tmp_path / "ran").exists()


def test_a_shell_that_is_not_known_is_bash():
    """A name or path chooses the kind of shell, and bash stands for every other one."""
    assert [shell(program).name for program in (None, "bash", "/bin/zsh", "/bin/nu", "/opt/xonsh", "")] == [
        *("bash", "bash", "zsh"),
        *("bash", "bash", "bash"),
    ]


def test_the_state_is_json(tmp_path):
    """The saved state is JSON that a later version can read, and says what to undo."""
    import base64
    import zlib

    variables = undo.enter(a_plan(deactivate={"common": "x"}), {"PATH": "/a"}, activator(a_plan()))
    state = json.loads(zlib.decompress(base64.urlsafe_b64decode(variables[undo.VARIABLE])))
    assert state["edits"]["base"]["PATH"] == "/a"
    assert state["ends"] == {"/p/it's/.flox": {"link": LINK, "scripts": {"common": "x"}}}
