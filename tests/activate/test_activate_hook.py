from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from esker.activate import hook
from esker.activate.composition import activation
from esker.cli import flox_dialect
from esker.errors import ActivationFailed, HookCutOff, TimedOut
from esker.host import pidfd
from esker.host.clock import Deadline
from tests.support.plans import a_plan

BASE = {"PATH": os.environ["PATH"], "HOME": "/home/me", "LIST": "a b", "SHLVL": "3", "CPATH": "/a:/b"}


def changes(script, environ=BASE, **options):
    """Return the variables that the hook changed, with None for a removed variable."""
    found = hook.run(environ, script=script, **options)
    return {name: found.get(name) for name in environ.keys() | found.keys() if environ.get(name) != found.get(name)}


NASTY = {
    "nothing": (":", {}),
    "several lines": ("export A=$'one\\ntwo\\n'", {"A": "one\ntwo\n"}),
    "lines that look like exports": (
        "export A=$'x\\nexport EVIL=1\\ndeclare -x E=2'",
        {"A": "x\nexport EVIL=1\ndeclare -x E=2"},
    ),
    "bytes that are not text": ("export A=$'\\xff\\xfe='", {"A": "\udcff\udcfe="}),
    "quotes and dollars": ("export A='it'\\''s \"$HOME\" `x` \\'", {"A": 'it\'s "$HOME" `x` \\'}),
    "an empty value": ("export A=", {"A": ""}),
    "unset": ("unset HOME CPATH", {"HOME": None, "CPATH": None}),
    "attributes": (
        "A=v; declare -x A\nexport B=l; declare +x B\nf() { local -x C=s; }; f\ndeclare -x D; readonly -x E=r 2>/dev/null || declare -rx E=r",
        {"A": "v", "E": "r"},
    ),
    "functions over builtins": (
        """for name in exec set unset export trap printf builtin command source case true : . [ mapfile read eval; do
               eval "function $name { echo overridden; return 1; }" 2>/dev/null
           done; A=1; declare -x A""",
        {"A": "1"},
    ),
    "exported functions": ("f() { echo; }; export -f f; export A=1", {"A": "1"}),
    "aliases over builtins": (
        "shopt -s expand_aliases\nalias exec=false set=false trap=false export=false case=false\nA=1; declare -x A",
        {"A": "1"},
    ),
    "traps that print": ("export A=1\ntrap 'echo exit' EXIT\ntrap 'echo err' ERR\ntrap 'echo debug' DEBUG", {"A": "1"}),
    "strict options left on": ("export A=1\nset -euo pipefail; set -f", {"A": "1"}),
    "tracing left on": ("export A=1; set -xv", {"A": "1"}),
    "everything exported": ("set -a; A=1; B=2", {"A": "1", "B": "2"}),
    "posix mode": ("export POSIXLY_CORRECT=mine A=1", {"POSIXLY_CORRECT": "mine", "A": "1"}),
    "posix mode, not exported": ("set -o posix; export A=1", {"A": "1"}),
    "other separators": ("IFS=:/; export IFS; export A=a:b", {"A": "a:b"}),
    "output": ("echo out; echo err >&2; export A=1", {"A": "1"}),
    "redirected for good": ("exec >/dev/null 2>&1 3>&1 4>&1 9>&1 </dev/null; export A=1", {"A": "1"}),
    "closed for good": ("exec 0<&- 1>&- 2>&-; export A=1", {"A": "1"}),
    "another directory": ("cd /; export A=$PWD OLDPWD", {"A": "/"}),
    "positional parameters": ("export A=$#; set -- a b c; shift", {"A": "0"}),
    "return in the middle": ("export A=1\nreturn 3\nexport A=2", {"A": "1"}),
    "a failing command in the middle": (
        "export A=1\nfalse\nno-such-command 2>/dev/null\nexport B=2",
        {"A": "1", "B": "2"},
    ),
    "a locale that is not there": ("export LC_ALL=xx_XX.nope A=é", {"LC_ALL": "xx_XX.nope", "A": "é"}),
    "a large value": ("printf -v A '%100000s' x; export A", {"A": " " * 99999 + "x"}),
    "no PATH": ("export PATH=/nowhere A=1", {"PATH": "/nowhere", "A": "1"}),
    "files for other shells": (
        "export BASH_ENV=/dev/stdin ENV=/x SHELLOPTS CDPATH=/ GLOBIGNORE='*'",
        {"BASH_ENV": "/dev/stdin", "ENV": "/x", "CDPATH": "/", "GLOBIGNORE": "*"},
    ),
    "a false name of bash": ("BASH=/nowhere; export A=1", {"A": "1"}),
    "a here document": ("export A=$(cat <<'E'\n  in $HOME\nE\n)", {"A": "  in $HOME"}),
    "lists": ("export CPATH=/x:$CPATH:/y", {"CPATH": "/x:/a:/b:/y"}),
    "an environment of its own, in place": ("export A=1 _ESKER_UNDO=x", {"A": "1"}),
    "its own shell": ("export A=$SHLVL SHLVL=9 _=x", {"A": "4"}),
}


@pytest.mark.parametrize(("script", "expected"), NASTY.values(), ids=NASTY)
def test_the_environment_after_a_hook_is_exactly_what_bash_exports(script, expected):
    """Whatever the hook does, the activation takes over its exported variables and nothing else."""
    assert changes(script) == expected


REVIEW = [
    "hint: Review your script for the use of:",
    "- 'exit' commands, which should be replaced with 'return'",
    "- 'exec' commands, which should be run in a subshell: '(exec command)'",
]
OPTIONS = [
    *REVIEW,
    "- 'set -e' and 'set -u', under which a failed command or a variable that is not set ends the script",
]
MAY_FAIL = ["hint: what it says stands above; where it may fail, put `|| true` behind it"]
SENT = ["hint: find out what sent the signal: the script, a program it ran, a limit of memory or time, a person"]
ENDS = {
    "exit": ("export A=1; exit 0", "", REVIEW),
    "exec": ("exec true", "", REVIEW),
    "exit with a status": ("exit 3", ": bash ended with status 3", OPTIONS),
    "exec of what fails": ("exec false", ": bash ended with status 1", OPTIONS),
    "a failure under errexit": (
        "set -e; false; export A=1",
        ": `false` has failed under `set -e`, and bash ended with status 1",
        MAY_FAIL,
    ),
    "an unset variable under nounset": ("set -u; echo $NOT_SET", ": bash ended with status 127", OPTIONS),
    "a trap that exits": ("trap 'exit 9' ERR; false", ": bash ended with status 9", OPTIONS),
    "too large a value": (
        "printf -v A '%200000s' x; export A",
        ": bash ended with status 126",
        [*OPTIONS, "- exported values that are too large to start a program with, on Linux 128 kB each"],
    ),
    "a signal": ("kill -9 $$", ": SIGKILL ended bash", SENT),
    "a signal without a name": ("kill -40 $$", ": signal 40 ended bash", SENT),
    "a limit": ("ulimit -f 0; export A=1", ": SIGXFSZ ended bash", SENT),
}


@pytest.mark.parametrize(("script", "seen", "hint"), ENDS.values(), ids=ENDS)
def test_a_hook_that_leaves_has_not_completed(script, seen, hint):
    """A script that ends its shell is an error that says how bash ended and what causes that."""
    with pytest.raises(ActivationFailed) as caught:
        hook.run(BASE, script=script)
    place, _, first = str(caught.value).partition(": ")
    assert first.splitlines() == [f"The hook.on-activate script did not complete normally{seen}", *hint]
    assert place == ("line 1 of the script, manifest.toml" if hint is MAY_FAIL else "manifest.toml")


def test_the_place_of_a_command_that_has_failed(tmp_path):
    """It is the line of the manifest; in a file that the hook sources, it is the line there."""
    manifest, sourced = tmp_path / "manifest.toml", tmp_path / "sourced"
    script = "set -e\nif true; then\n  (exit 7)\nfi\n"
    manifest.write_text(f"[hook]\non-activate = '''\n{script}'''\n")
    sourced.write_text("true\nls /nowhere |\n  grep x\n")
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script=script, manifest=str(manifest))
    assert caught.value.place == f"{manifest}:5"
    assert "`( exit 7 )` has failed under `set -e`" in caught.value.message
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script=f"set -e; . {sourced}", manifest=str(manifest))
    assert caught.value.place == f"{sourced}:3"  # where the command ends
    relative = os.path.relpath(sourced)
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script=f"set -e; . {relative}", manifest=str(manifest))
    assert caught.value.place == f"{manifest}, {relative}:3"
    with pytest.raises(HookCutOff) as caught:  # what fails in a function is not known
        hook.run(BASE, script="set -e; f() { false; }; f", manifest=str(manifest))
    assert (caught.value.place, caught.value.ending) == (str(manifest), "bash ended with status 1")


def test_a_command_that_may_fail_is_told_nowhere():
    """Neither without `set -e`, nor in a condition or a subshell does it say or change anything."""
    script = "false; set -e; if false; then :; fi; (set -e; false; true) || true; x=$(false) || export A=$?"
    assert changes(script) == {"A": "1"}


def test_flox_has_other_words_for_a_status():
    """Flox's command reports such a status in its own words."""
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script="exit 3")
    assert flox_dialect.words(caught.value) == "Running hook.on-activate failed"


BROKEN = {
    "a word too many": ("export A=1\nfi\nexport A=2", 2),
    "an end missing": ("export A=1\nif true; then\n  export A=2", 3),
    "a quote missing": ("export A=1\n\necho 'x", 3),
    "in posix mode": ("set -o posix\nexport A=1\n)", 3),
    "a failed command before": ("export A=1\nfalse\n)", 3),
}


@pytest.mark.parametrize(("script", "line"), BROKEN.values(), ids=BROKEN)
def test_what_comes_before_a_syntax_error_has_run(script, line, capfd):
    """As when any bash sources the script: what came before the mistake stays, and one warning says where it is."""
    assert changes(script, manifest="/p/manifest.toml") == {"A": "1"}
    *_, warning = capfd.readouterr().err.splitlines()
    place = f"line {line} of the script, /p/manifest.toml"
    assert warning == f"! hook.on-activate has a syntax error ({place}); only the commands before it have run"


def test_a_syntax_error_has_its_line_in_the_manifest(tmp_path, capfd):
    """The warning names the line of the manifest, although the script has lost its indentation there."""
    project = tmp_path / "project"
    (project / ".flox/env").mkdir(parents=True)
    manifest = project / ".flox/env/manifest.toml"
    manifest.write_text("[hook]\non-activate = '''\n    export A=1\n\n    fi\n    export A=2\n'''\n")
    made = a_plan(project=str(project), hook="    export A=1\n\n    fi\n    export A=2\n")
    assert activation(made, BASE, runtime_directory="/r").set["A"] == "1"
    assert f"({manifest}:5)" in capfd.readouterr().err


def test_a_syntax_error_ends_a_hook_that_asked_for_it():
    """Under `set -e`, with which a mistake ends bash itself, the hook has failed, and the error says why."""
    with pytest.raises(ActivationFailed, match=r"has a syntax error \(line 2 of the script, .* `set -e` ends"):
        hook.run(BASE, script="set -e\n)")


def test_a_trap_on_exit_runs_when_the_hook_has_ended(tmp_path, capfd):
    """The trap runs after the result is taken, in the hook's own state: it removes files, and exports nothing."""
    script = f"""
        t={tmp_path}/scratch; touch $t; set -f; f() {{ rm $t; }}
        trap 'f; export A=2; echo "gone $- ${{POSIXLY_CORRECT-none}}"' EXIT
        export A=1
    """
    assert changes(script) == {"A": "1"}
    assert not (tmp_path / "scratch").exists()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gone ")
    assert captured.err.endswith(" none\n")
    assert "f" in captured.err.split()[1]


ENDS = {"set -e": "set -e; false", "exit": "exit 3", "a syntax error": "fi", "a normal end": ":"}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_trap_on_exit_runs_however_the_hook_ends(end, tmp_path):
    """Temporary files are removed also after an error."""
    with suppress(ActivationFailed):
        hook.run(BASE, script=f"touch {tmp_path}/scratch\ntrap 'rm {tmp_path}/scratch' EXIT\n{end}")
    assert os.listdir(tmp_path) == []


def test_a_trap_on_exit_may_fail_the_activation():
    """A trap that exits with a status ends the hook's bash with it, and that is an error as in the hook itself."""
    with pytest.raises(HookCutOff, match="bash ended with status 5"):
        hook.run(BASE, script="trap 'exit 5' EXIT; export A=1")
    assert changes("trap 'false' EXIT; export A=1") == {"A": "1"}


def test_a_trap_on_exit_runs_after_an_interruption(tmp_path, monkeypatch):
    """A person who presses Ctrl-C while a hook works keeps none of its temporary files."""

    def interrupted(*_):
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(hook, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hook.run(BASE, script=f"trap 'rm {tmp_path}/ready' EXIT; touch {tmp_path}/ready; sleep 100")
    assert os.listdir(tmp_path) == []


def test_a_hook_is_read_with_the_options_it_chooses():
    """A pattern that is a mistake before `extglob` is set is none afterwards, whatever status the hook returns."""
    assert changes("shopt -s extglob\ncase ab in +(a|b)) export A=1 ;; esac\nreturn 4") == {"A": "1"}


def test_a_mistake_in_what_the_hook_evaluates_is_the_hooks_own():
    """Only the script itself must be free of syntax errors; a failed command in it does not fail the hook."""
    assert changes("eval ')' 2>/dev/null; export A=1; eval '(' 2>/dev/null") == {"A": "1"}


def test_the_output_goes_to_the_standard_error(capfd):
    """The output goes to standard error, because the caller evaluates or reads standard output."""
    hook.run(BASE, script="echo out; echo err >&2; trap 'echo late' EXIT", values=[("A", "$(echo said >&2)")])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "said\nout\nerr\nlate\n"


def test_the_hook_runs_where_the_caller_is_and_reads_its_input(tmp_path):
    """The hook has the caller's directory and standard input."""
    script = (
        "import os\nfrom esker.activate import hook\n"
        "found = hook.run(dict(os.environ), script='export A=$PWD; read -r B; export B')\nprint(found['A'], found['B'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, input="typed\n", text=True, capture_output=True, check=True
    )
    assert done.stdout == f"{tmp_path.resolve()} typed\n"


@pytest.mark.parametrize("closed", ["<&- 2>&-", "2>&-", "<&- >&- 2>&-"])
def test_the_hook_runs_where_there_is_no_standard_error(tmp_path, closed):
    """Without a standard error the output is dropped; it goes into no file that happens to have the number."""
    script = (
        "import os\nfrom esker.activate import hook\n"
        f"open({str(tmp_path / 'found')!r}, 'w').write(hook.run(dict(os.environ), script='echo a; echo b >&2; export A=1')['A'])"
    )
    subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=True)
    assert (tmp_path / "found").read_text() == "1"


def test_a_process_that_stays_does_not_keep_the_caller_waiting(tmp_path):
    """The caller does not wait for a process that outlives the hook and holds every descriptor."""
    os.mkfifo(tmp_path / "fifo")
    found = hook.run(BASE, script=f"cat {tmp_path}/fifo &\nexport A=1")
    assert found["A"] == "1"
    with open(tmp_path / "fifo", "w"):  # lets it end
        pass


def test_what_the_caller_exported_does_not_reach_into_the_hook():
    """Functions, BASH_ENV and shell options of the caller are passed on, but do not affect the hook."""
    caller = {
        **BASE,
        "BASH_FUNC_printf%%": "() { exit 1; }",
        "BASH_ENV": "/dev/stdin",
        "SHELLOPTS": "errexit:nounset",
        "BASHOPTS": "extglob",
        "CDPATH": "/",
        "POSIXLY_CORRECT": "y",
        "not-a-name": "1",
        "IFS": "x",
        "PS4": "$(exit)",
        "A\udcff": "\udcff",
    }
    assert changes("false; export B=1", caller) == {"B": "1"}


def test_what_bash_does_to_its_own_variables_is_nothing_that_the_hook_did():
    """Changes that bash makes itself do not count, such as the removal of a prompt when there is no terminal."""
    names = (
        "PS1 PS2 PS3 PS4 OPTIND OPTERR RANDOM LINENO PPID BASH BASH_VERSION EPOCHSECONDS COLUMNS LINES UID BASH_COMMAND"
    )
    caller = {**BASE, **dict.fromkeys(names.split(), "5")}
    assert changes("true", caller) == {}
    assert changes("export PS1=mine", caller) == {"PS1": "mine"}


def test_the_size_of_the_terminal_is_not_what_the_hook_did():
    """The size of the terminal does not count, because others take over the changes on terminals of their own."""
    script = (
        "import os\nfrom esker.activate import hook\n"
        "found = hook.run(dict(os.environ), script='sh -c :')\nprint(found['COLUMNS'], found['LINES'])"
    )
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (33, 99))
    environ = {**BASE, "COLUMNS": "10", "LINES": "3"}
    with open(ours), open(theirs) as terminal:
        command = [sys.executable, "-c", script]
        found = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
    assert found.stdout == "10 3\n"


def test_values_for_bash_come_before_the_hook_and_in_order():
    """A value sees the values before it, the hook sees them all, and quotes in a value belong to the value."""
    values = [("A", '"$(echo "a b")"'), ("B", "${A:-x}/${NOT_SET:-d}"), ("C", "$HOME"), ("D", "`echo d`\nd")]
    expected = {"A": '"a b"', "B": '"a b"/d', "C": "/home/me", "D": "d\nd", "E": "/home/me"}
    assert changes("export E=$C", values=values) == expected


@pytest.mark.parametrize("value", ["$(", "${NOT_SET:?is needed}", "${A", "${A!}", "`"])
def test_a_value_that_bash_refuses_is_an_error(value):
    """The error names the variable, whatever surrounds it, and neither the next value nor the hook runs."""
    values = [("A", "$(echo a)"), ("B", value), ("C", '$(kill -9 $PPID)"')]
    with pytest.raises(ActivationFailed) as caught:
        hook.run(BASE, values=values, script="kill -9 $PPID")
    assert str(caught.value).splitlines() == [
        "manifest.toml: bash could not expand `B` of `[vars]`",
        "hint: bash says why above",
    ]


def test_a_variable_that_bash_keeps_for_itself_is_an_error():
    """Setting a variable that bash keeps for itself is an error, because the value would be lost silently."""
    with pytest.raises(ActivationFailed, match=r"could not expand `UID` of `\[vars\]`"):
        hook.run(BASE, values=[("UID", "$(echo 5)")])


def test_a_bash_that_does_not_read_what_it_is_given_is_named(tmp_path):
    """If bash does not read its input, the error names that bash and blames no variable."""
    wrapper = tmp_path / "bash"
    wrapper.write_text("#!/bin/sh\nexit 5\n")
    wrapper.chmod(0o755)
    with pytest.raises(ActivationFailed) as caught:
        hook.run({**BASE, "PATH": f"{tmp_path}:{BASE['PATH']}"}, values=[("A", "$(echo a)")], script=":")
    assert str(caught.value).splitlines() == [
        f"`{wrapper}` did not run the environment's scripts: bash ended with status 5",
        "hint: it must be a bash that keeps the descriptors it inherits; put another one first on PATH",
    ]


def test_a_missing_bash_is_said(monkeypatch):
    """A missing bash is an error only for an environment with scripts."""
    monkeypatch.setattr(hook, "_USUAL_PATH", "/nowhere")
    with pytest.raises(ActivationFailed, match="need `bash`, which is not on PATH"):
        hook.run({"PATH": "/nowhere"}, script=":")


def test_no_descriptor_and_no_file_is_left(tmp_path, monkeypatch):
    """Whether the hook succeeds or fails, every opened file and descriptor is closed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = os.listdir("/dev/fd")
    hook.run(BASE, script=":")
    with pytest.raises(ActivationFailed):
        hook.run(BASE, script="exit")
    assert os.listdir("/dev/fd") == before
    assert os.listdir(tmp_path) == []


def test_an_activation_holds_what_the_hook_did():
    """Changes of lists are recorded as edits, other changes as values; variables are evaluated before the hook."""
    made = a_plan(
        mode="run",
        vars=[("X", "$(echo x)")],
        hook="""
            export PATH=/hook/bin:$PATH:/hook/late
            export CPATH=/b
            unset HOME
            export Y=$X$FLOX_ENV_PROJECT
        """,
    )
    found = activation(made, BASE, runtime_directory="/r")
    assert found.prepend["PATH"] == ("/hook/bin", f"{made.flox_env}/bin")
    assert found.append["PATH"] == ("/hook/late",)
    assert found.remove["CPATH"] == ("/a",)
    assert "HOME" in found.unset
    assert (found.set["X"], found.set["Y"]) == ("x", "x/p")


def test_a_second_activation_inside_the_first_runs_no_hook(capfd):
    """The hook runs once per start; an activation inside an active environment has inherited its changes."""
    made = a_plan(mode="run", hook="echo ran; export A=1")
    once = activation(made, BASE, runtime_directory="/r").apply(BASE)
    assert activation(made, once, runtime_directory="/r").apply(once) == once
    assert capfd.readouterr().err == "ran\n"


def test_a_hook_that_takes_too_long(tmp_path):
    """A hook that exceeds its limit is killed with everything it started, and the message says how long it had."""

    class Until(Deadline):
        def left(self):
            return 0 if (tmp_path / "pid").exists() else 0.01

    script = f"(sleep 1000) & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    with pytest.raises(TimedOut, match=r"the hook did not end within 0\.2 s"):
        hook.run(dict(os.environ), script=script, deadline=Until(0.2))
    with pidfd.opened(int((tmp_path / "pid").read_text())) as descriptor:
        assert descriptor is None or pidfd.wait(descriptor, 10)


def test_a_hook_with_a_limit_that_is_kept():
    """A hook that keeps its limit gives the same result as one without a limit."""
    assert hook.run(dict(os.environ), script="export A=1", deadline=Deadline(60))["A"] == "1"


def test_an_interruption_while_bash_starts_leaves_no_bash_behind(monkeypatch):
    """An interruption during the start of bash takes effect once bash can be killed, so no bash runs on unnoticed."""
    started = []

    class Interrupted(hook.Tied):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(hook, "Tied", Interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        hook.run(BASE, script="while :; do :; done")
    assert pidfd.open_process(started[0]) is None
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_hook_runs_in_a_thread_too():
    """A hook runs in another thread too, where signals cannot be held back and no interruption arrives."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(changes, "export A=b").result() == {"A": "b"}


def test_the_hook_s_bash_does_nothing_if_esker_has_ended_before(tmp_path):
    """Nobody could end it any more: so it waits for a byte that Esker writes when somebody can."""
    text = (Path(hook.__file__).parent / "hook.bash").read_text()
    reading, writing = os.pipe()
    os.close(writing)
    (tmp_path / "hook").write_text(f"touch {tmp_path}/ran")
    argv = ["bash", "-p", "-c", text, "hook", str(reading), "bash", "1", "1", "/dev/null", str(tmp_path / "hook")]
    assert subprocess.run(argv, pass_fds=[reading], check=False).returncode == 1
    assert not (tmp_path / "ran").exists()
    os.close(reading)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_hook_s_bash_ends_with_esker(tmp_path, number):
    """A signal to Esker alone, and not to its group as with Ctrl-C, leaves no bash behind."""
    pid_file = tmp_path / "pid"
    script = f"printf %s $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; while :; do read -t 0.1 < /dev/zero; done"
    code = f"import os; from esker.activate import hook; hook.run(dict(os.environ), script={script!r})"
    caller = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        while not pid_file.exists():
            assert caller.poll() is None
            time.sleep(0.01)
        with pidfd.opened(int(pid_file.read_text())) as bash:
            assert bash is not None
            caller.send_signal(number)
            caller.wait()
            assert pidfd.wait(bash, 5)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(caller.pid, signal.SIGKILL)
        caller.wait()
