from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from esker.activate.active import begin
from esker.activate.starts import attachment, registry
from esker.activate.starts.attachment import Participant, attach
from esker.activate.starts.start import member_of
from esker.errors import ActivationFailed, HostError, TimedOut
from esker.host import pidfd, runtime_directory
from esker.host.clock import Deadline
from tests.support import plans

PATH = os.environ["PATH"]
STAYS = Participant(stays=True)


def left_in(directory):
    """Return the names of what is there; links that name the texts of hooks stay for the next hook."""
    return [name for name in os.listdir(directory) if not os.path.islink(directory / name)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Set XDG_RUNTIME_DIR to a directory of the test, in which no start must be left at the end."""
    directory = tmp_path / "runtime"
    directory.mkdir(0o700)
    monkeypatch.setattr(runtime_directory, "user_directory", lambda xdg: str(directory))
    yield directory
    assert left_in(directory) == []


@pytest.fixture
def a_plan(tmp_path):
    """Give a function that makes a plan."""
    return partial(plans.a_plan, f"{tmp_path}/p")


def running(plan, environ=None):
    """Start a plan in this process, and return its variables and the attachment."""
    environ = environ or {"PATH": PATH}
    found = attach(plan, environ, STAYS)
    assert not found.found
    return found.activation.apply(environ), found


def attached(plan, environ):
    """Return the variables of another process's use, which ends at once."""
    found = attach(plan, environ, STAYS)
    assert found.found
    found.leave()
    return found.activation.apply(environ)


def test_the_hook_runs_once_and_its_difference_is_taken_over(place, a_plan, capfd):
    """Values, removals and edits of lists are applied to a later process's own values, as if it had started."""
    plan = a_plan(
        vars=[("A", "$HOME/a")],
        hook="echo ran\nexport B=$A PATH=/first:$PATH:/last MANPATH=${MANPATH//\\/gone:/}\nunset GONE",
        ports={"PORT": 12345},
    )
    first, start = running(plan, {"PATH": PATH, "HOME": "/h", "GONE": "1", "MANPATH": "/m:/gone:"})
    caller = {"PATH": "/mine", "HOME": "/other", "GONE": "2", "MANPATH": "/gone:/n", "PORT": "1", "FLOX_ENV": "WRONG"}
    second = attached(plan, caller)
    assert capfd.readouterr().err == "ran\n"
    assert (second["A"], second["B"], second.get("GONE")) == ("/h/a", "/h/a", None)
    assert second["PATH"] == f"/first:{plan.flox_env}/bin:/mine:/last"
    assert "/gone" not in second["MANPATH"]
    assert (second["PORT"], second["FLOX_ENV"], second["HOME"]) == ("12345", plan.flox_env, "/other")
    assert second["_ESKER_STARTS"] == first["_ESKER_STARTS"] == plan.identity
    start.leave()
    running(plan)[1].leave()
    assert capfd.readouterr().err == "ran\n"


def test_case_25_vars_win_and_a_hook_that_changes_nothing_does_not(place, a_plan):
    """`[vars]` are set for every process; a variable that the hook exported unchanged is set where it is missing."""
    by_vars, by_hook = a_plan(vars=[("X", "same")], hook="true"), a_plan(hook="export X=same")
    for plan, other in ((by_vars, "same"), (by_hook, "other")):
        _, start = running(plan, {"PATH": PATH, "X": "same"})
        assert attached(plan, {"PATH": PATH})["X"] == "same"
        assert attached(plan, {"PATH": PATH, "X": "other"})["X"] == other
        start.leave()


def test_case_26_only_what_is_exported_is_taken_over(place, a_plan):
    """Variables that the hook does not export are not taken over."""
    plan = a_plan(hook="A=v; declare -x A\nexport B=l; declare +x B\nf() { local -x C=s; }; f")
    _, start = running(plan)
    found = attached(plan, {"PATH": PATH})
    assert (found["A"], found.get("B"), found.get("C")) == ("v", None, None)
    start.leave()


def test_any_text_is_taken_over(place, a_plan):
    """Newlines, quotes and bytes that are not UTF-8 are taken over exactly."""
    plan = a_plan(hook="export A=$'a\\nexport EVIL=1\\n\\xff\\'\"'")
    first, start = running(plan)
    assert attached(plan, {"PATH": PATH})["A"] == first["A"] == "a\nexport EVIL=1\n\udcff'\""
    start.leave()


def test_what_the_hook_exported_is_not_in_the_project(place, a_plan, tmp_path):
    """What the hook exported is in one file of the runtime directory, with mode 0600, and nowhere else."""
    (tmp_path / "p/.flox").mkdir(parents=True)
    _, start = running(a_plan(hook="export TOKEN=s3cret"))
    assert [file.name for file in (tmp_path / "p").rglob("*") if file.is_file()] == []
    holding = [file for file in place.iterdir() if "s3cret" in file.read_text()]
    assert [file.stat().st_mode & 0o777 for file in holding] == [0o600]
    start.leave()


def test_a_hook_that_fails_starts_nothing(place, a_plan):
    """After a failed hook there is no start to attach to, and nothing of it remains."""
    with pytest.raises(ActivationFailed):
        attach(a_plan(hook="exit 1"), {"PATH": PATH}, STAYS)
    assert left_in(place) == []


def test_newcomers_wait_for_the_hook_and_say_so(place, a_plan, tmp_path, monkeypatch):
    """A process that waits for a hook is told repeatedly for whom, and then gets what that hook changed."""
    monkeypatch.setattr(attachment, "_PAUSE", 0.001)
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "go")
    plan = a_plan(hook=f"echo > {tmp_path}/begun; read line < {tmp_path}/go; export A=$line")
    told = []

    def waiting(pid):
        told.append(pid)
        if len(told) == 2:
            (tmp_path / "go").write_text("went\n")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(attach, plan, {"PATH": PATH}, STAYS)
        (tmp_path / "begun").read_text()
        second = attach(plan, {"PATH": PATH}, STAYS, waiting=waiting)
        assert told == [os.getpid()] * 2
        assert second.activation.set["A"] == first.result().activation.set["A"] == "went"
        second.leave()
        first.result().leave()


def test_waiting_has_an_end(place, a_plan):
    """When the limit has passed, the error names the process that took so long."""
    plan = a_plan(hook="true")
    joined = registry.join(f"{place}/environment.activations", plan, member_of(os.getpid()), inherited=False)
    with pytest.raises(TimedOut, match=f"process {os.getpid()} was still activating `app` after 0 s"):
        attach(plan, {"PATH": PATH}, STAYS, deadline=Deadline(0))
    registry.remove_start(f"{place}/environment.activations", joined.start)


def test_an_activation_inside_the_first_runs_no_hook_and_is_attached(place, a_plan, capfd):
    """An activation inside the first finds the variables set, and the start lasts as long as the inner one."""
    plan = a_plan(hook="echo ran; export GROWS=${GROWS}x")
    inside, start = running(plan)
    inner = attach(plan, inside, STAYS)
    start.leave()
    assert inner.activation.apply(inside)["GROWS"] == "x"
    assert attached(plan, {"PATH": PATH})["GROWS"] == "x"
    inner.leave()
    assert capfd.readouterr().err == "ran\n"


def test_an_activation_inside_the_first_leaves_alone_what_the_hook_has_decided(place, a_plan):
    """Inside, elements that the hook put in front of a list stay there, and elements that it removed stay away."""
    plan = a_plan(
        vars=[("B", "$(echo b)")],
        hook="export PATH=/first:$PATH:/last FLOX_ENV_CACHE=/cache INFOPATH=/only B=c; unset CPATH",
    )
    inside, start = running(plan, {"PATH": "/a", "CPATH": "/c"})
    assert inside["PATH"] == f"/first:{plan.flox_env}/bin:/a:/last"
    assert attached(plan, inside) == inside
    moved = inside | {"PATH": f"/a:{plan.flox_env}/bin:/first:/mine"}
    assert attached(plan, moved) == inside | {"PATH": f"/first:{plan.flox_env}/bin:/a:/mine"}
    start.leave()


def test_the_variables_of_a_start_that_is_over_are_still_inherited(place, a_plan, capfd):
    """A process that has the variables of an ended start runs no hook and attaches to nothing."""
    plan = a_plan(hook="echo ran; export A=1")
    inside, start = running(plan)
    start.leave()
    left = attach(plan, inside, STAYS)
    assert (left.activation.apply(inside)["A"], left.found) == ("1", False)
    assert capfd.readouterr().err == "ran\n"


def test_without_code_only_a_shell_is_registered(place, a_plan):
    """Without a hook a command leaves no trace and may run while somebody's shell is active; a shell is recorded."""
    plan = a_plan(vars=[("A", "$HOME")])
    assert not plan.is_shared(f"{place}/environment")
    attach(plan, {"PATH": PATH}).leave()
    assert left_in(place) == []
    shell = attach(plan, {"PATH": PATH}, Participant(lasting=True))
    assert plan.is_shared(f"{place}/environment")
    assert attach(plan, {"PATH": PATH, "HOME": "/h"}).activation.set["A"] == "/h"
    shell.leave()


def test_what_was_recorded_and_cannot_be_read_is_made_again(place, a_plan, capfd):
    """If the recorded changes are gone, for example after a cleanup of the runtime directory, the hook runs again."""
    plan = a_plan(hook="echo ran; export A=1")
    _, start = running(plan)
    os.unlink(next(file for file in place.iterdir() if not file.name.endswith(".activations")))
    assert attached(plan, {"PATH": PATH})["A"] == "1"
    assert capfd.readouterr().err == "ran\nran\n"
    start.leave()


@pytest.mark.parametrize("breaks", ["join", "settle"])
def test_where_nothing_can_be_noted_each_activation_is_a_start(place, a_plan, breaks, monkeypatch, capfd):
    """If nothing can be recorded, each process starts alone; only a start with `on-deactivate` is an error."""

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(registry, breaks, refuse)
    for _ in range(2):
        found = attach(a_plan(hook="echo ran; export A=1"), {"PATH": PATH}, STAYS)
        assert found.activation.set["A"] == "1"
        found.leave()
    assert capfd.readouterr().err == "ran\nran\n"
    with pytest.raises(HostError, match=r"`hook.on-deactivate` would never run: .*the disk is full"):
        attach(a_plan(on_deactivate="true"), {"PATH": PATH}, STAYS)


def test_a_copy_of_the_process_has_no_use_of_its_own(place, a_plan):
    """A forked child does not leave for its parent."""
    plan = a_plan(hook="export A=1")
    _, start = running(plan)
    child = os.fork()
    if child == 0:
        start.leave()
        os._exit(0)
    os.waitpid(child, 0)
    attached(plan, {"PATH": PATH})
    start.leave()


PROGRAM = """\
import sys
from esker.activate import plan
from esker.activate.active import begin
from esker.host import runtime_directory
runtime_directory.user_directory = lambda xdg: sys.argv[1]
made = plan.Plan(**eval(sys.argv[2]))
begin(made, {"PATH": sys.argv[3]})
print("ready", flush=True)
sys.stdin.readline()
"""


def program(place, plan):
    """Run a program that activates, prints `ready`, and ends when its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place), repr(plan.record()), PATH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.slow
def test_a_program_that_ends_has_left(place, a_plan):
    """A program leaves by ending; it need not call anything."""
    with program(place, a_plan(hook="export A=1")) as child:
        child.communicate("\n")
    assert left_in(place) == []


def watcher(place):
    """Return the process that waits for the last one, as the only start names it."""
    with registry.locked_starts(f"{place}/environment.activations") as starts:
        return starts[0].keeper


@pytest.mark.slow
def test_the_end_runs_once_even_after_a_kill(place, a_plan, tmp_path):
    """`hook.on-deactivate` runs once after both programs ended, one killed, with the hook's variables and no input."""
    plan = a_plan(
        hook="export A=1",
        on_deactivate=f'echo "$A $FLOX_ENV_PROJECT $(cat)$(readlink /proc/$$/fd/0)" >> {tmp_path}/ends; echo logged; nothing-there; exit 3',
    )
    with program(place, plan) as one, program(place, plan) as two:
        waiting = watcher(place)
        with waiting.process.opened() as descriptor:
            one.communicate("\n")
            assert not (tmp_path / "ends").exists()
            two.send_signal(signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)
    assert (tmp_path / "ends").read_text() == f"1 {plan.project} /dev/null\n"
    log = tmp_path / "p/.flox/log/on-deactivate.log"
    logged, said, ended = log.read_text().splitlines()
    assert (logged, ended) == ("logged", "hook.on-deactivate ended with status 3")
    assert said.endswith("/hook.on-deactivate: line 1: nothing-there: command not found")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_watcher_without_a_registry_runs_nothing(place, a_plan, tmp_path):
    """If somebody removed the registry, the watcher ends without running `hook.on-deactivate`."""
    with program(place, a_plan(on_deactivate=f"echo >> {tmp_path}/ends")) as one:
        waiting = watcher(place)
        with waiting.process.opened() as descriptor:
            os.unlink(place / "environment.activations")
            one.communicate("\n")
            assert pidfd.wait(descriptor, 10)
    assert not (tmp_path / "ends").exists()


@pytest.mark.slow
def test_who_leaves_last_waits_for_the_end(place, a_plan, tmp_path):
    """When the last attachment is left, `hook.on-deactivate` has run before `leave` returns."""
    plan = a_plan(on_deactivate=f"echo $A >> {tmp_path}/ends", vars=[("A", "é\udcff")])
    first, second = begin(plan, {"PATH": PATH}), attach(plan, {"PATH": PATH}, STAYS)
    first.end()
    assert not (tmp_path / "ends").exists()
    second.leave()
    assert (tmp_path / "ends").read_bytes() == "é\udcff\n".encode(errors="surrogateescape")


def test_where_bash_is_gone_the_log_says_so(place, a_plan, tmp_path, monkeypatch):
    """If bash is missing for `hook.on-deactivate`, the log says so, because the command has ended already."""
    from esker.activate import hook

    monkeypatch.setattr(hook, "find_program", lambda name, path: None)
    with open(tmp_path / "log", "wb") as log:
        hook.run_end({}, "true", log.fileno())
    assert "did not run: the environment's scripts need `bash`" in (tmp_path / "log").read_text()
