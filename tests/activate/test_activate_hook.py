import os
import subprocess
import sys

import pytest

from esker.activate import hook, plan
from esker.activate.variables import activation
from esker.errors import ActivationFailed, TimedOut
from esker.host import pidfd
from esker.host.clock import Deadline

BASE = {"PATH": os.environ["PATH"], "HOME": "/home/me", "LIST": "a b", "SHLVL": "3", "CPATH": "/a:/b"}


def changes(script, environ=BASE, **options):
    """What the hook changed: None for a variable that is gone."""
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
    "its own shell": ("export A=$SHLVL SHLVL=9 _=x", {"A": "4"}),
}


@pytest.mark.parametrize(("script", "expected"), NASTY.values(), ids=NASTY)
def test_the_environment_after_a_hook_is_exactly_what_bash_exports(script, expected):
    """Whatever the hook leaves behind, its exports are taken over and nothing else is."""
    assert changes(script) == expected


ENDS = {
    "exit": "export A=1; exit 0",
    "exit with a status": "exit 3",
    "exec": "exec true",
    "a failure under errexit": "set -e; false; export A=1",
    "an unset variable under nounset": "set -u; echo $NOT_SET",
    "a trap that exits": "trap 'exit 9' ERR; false",
    "a signal": "kill -9 $$",
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_a_hook_that_leaves_has_not_completed(script):
    """`exit` and `exec` would hide what follows, so they are an error that says what to write instead."""
    with pytest.raises(ActivationFailed) as caught:
        hook.run(BASE, script=script)
    assert str(caught.value).splitlines() == [
        "The hook.on-activate script did not complete normally",
        "hint: Review your script for the use of:",
        "- 'exit' commands, which should be replaced with 'return'",
        "- 'exec' commands, which should be run in a subshell: '(exec command)'",
    ]


def test_the_output_goes_to_the_standard_error(capfd):
    """Standard output belongs to whoever evaluates or reads it."""
    hook.run(BASE, script="echo out; echo err >&2; trap 'echo late' EXIT", values=[("A", "$(echo said >&2)")])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "said\nout\nerr\n"


def test_the_hook_runs_where_the_caller_is_and_reads_its_input(tmp_path):
    """Directory and standard input are the caller's."""
    script = (
        "import os\nfrom esker.activate import hook\n"
        "found = hook.run(dict(os.environ), script='export A=$PWD; read -r B; export B')\nprint(found['A'], found['B'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, input="typed\n", text=True, capture_output=True, check=True
    )
    assert done.stdout == f"{tmp_path.resolve()} typed\n"


def test_a_process_that_stays_does_not_keep_the_caller_waiting(tmp_path):
    """The hook may start something that outlives it and holds every descriptor."""
    os.mkfifo(tmp_path / "fifo")
    found = hook.run(BASE, script=f"cat {tmp_path}/fifo &\nexport A=1")
    assert found["A"] == "1"
    with open(tmp_path / "fifo", "w"):  # lets it end
        pass


def test_what_the_caller_exported_does_not_reach_into_the_hook():
    """Functions, BASH_ENV and shell options of the caller are passed on, not obeyed."""
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


def test_values_for_bash_come_before_the_hook_and_in_order():
    """A value sees those before it, the hook sees them all, and quotes in a value are its own."""
    values = [("A", '"$(echo "a b")"'), ("B", "${A:-x}/${NOT_SET:-d}"), ("C", "$HOME"), ("D", "`echo d`\nd")]
    expected = {"A": '"a b"', "B": '"a b"/d', "C": "/home/me", "D": "d\nd", "E": "/home/me"}
    assert changes("export E=$C", values=values) == expected


@pytest.mark.parametrize("value", ["$(", "${NOT_SET:?is needed}", "${A"])
def test_a_value_that_bash_refuses_is_an_error(value):
    """A syntax error or a missing variable is named, and the hook does not run."""
    with pytest.raises(ActivationFailed, match=r"could not expand a value of `\[vars\]`: `A`, `B`"):
        hook.run(BASE, values=[("A", value), ("B", "1")], script="kill -9 $PPID")


def test_a_missing_bash_is_said(monkeypatch):
    """Only an environment with scripts needs it."""
    monkeypatch.setattr(hook, "_USUAL_PATH", "/nowhere")
    with pytest.raises(ActivationFailed, match="need `bash`, which is not on PATH"):
        hook.run({"PATH": "/nowhere"}, script=":")


def test_no_descriptor_and_no_file_is_left(tmp_path, monkeypatch):
    """Whether it succeeds or fails, everything that was opened is closed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = os.listdir("/dev/fd")
    hook.run(BASE, script=":")
    with pytest.raises(ActivationFailed):
        hook.run(BASE, script="exit")
    assert os.listdir("/dev/fd") == before
    assert os.listdir(tmp_path) == []


def a_plan(**changes):
    fields = {"project": "/p", "name": "app", "mode": "run", "system": "s", "store_path": "/s", "stats": ()}
    return plan.make(**{**fields, "flox_env": "/p/.flox/run/s.app-run", **changes})


def test_an_activation_holds_what_the_hook_did():
    """Edits of lists are edits, other changes are values, and variables are evaluated before."""
    made = a_plan(
        vars=[("X", "$(echo x)")],
        hook="""
            export PATH=/hook/bin:$PATH:/hook/late
            export CPATH=/b
            unset HOME
            export Y=$X$FLOX_ENV_PROJECT
        """,
    )
    found = activation(made, BASE, runtime_directory="/r")
    assert found.prepend["PATH"] == ("/hook/bin", "/p/.flox/run/s.app-run/bin")
    assert found.append["PATH"] == ("/hook/late",)
    assert found.remove["CPATH"] == ("/a",)
    assert "HOME" in found.unset
    assert (found.set["X"], found.set["Y"]) == ("x", "x/p")


def test_a_second_activation_inside_the_first_runs_no_hook(capfd):
    """The hook runs once a start; whoever comes from an active environment has inherited what it did."""
    made = a_plan(hook="echo ran; export A=1")
    once = activation(made, BASE, runtime_directory="/r").apply(BASE)
    assert activation(made, once, runtime_directory="/r").apply(once) == once
    assert capfd.readouterr().err == "ran\n"


def test_a_hook_that_takes_too_long(tmp_path):
    """It is killed with what it has started, and the message says how long it had."""

    class Until(Deadline):
        def left(self):
            return 0 if (tmp_path / "pid").exists() else 0.01

    script = f"(sleep 1000) & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    with pytest.raises(TimedOut, match=r"the hook did not end within 0\.2 s"):
        hook.run(dict(os.environ), script=script, deadline=Until(0.2))
    with pidfd.opened(int((tmp_path / "pid").read_text())) as descriptor:
        assert descriptor is None or pidfd.wait(descriptor, 10)


def test_a_hook_with_a_limit_that_is_kept():
    """It is like any other."""
    assert hook.run(dict(os.environ), script="export A=1", deadline=Deadline(60))["A"] == "1"
