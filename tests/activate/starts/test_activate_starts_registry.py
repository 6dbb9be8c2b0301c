from __future__ import annotations

import fcntl
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from esker.activate.starts import registry
from esker.activate.starts.start import Start, member_of
from esker.cli import flox_dialect
from esker.errors import HostError, ModeClash
from esker.host import runtime_directory
from tests.support import plans

a_plan = partial(plans.a_plan, hook="true")
PLAN = a_plan()
SELF = member_of(os.getpid())


@pytest.fixture
def path(tmp_path):
    tmp_path.chmod(0o700)
    return str(tmp_path / "x.activations")


@pytest.fixture
def process():
    """Give a function that starts a process and returns its use of the environment, and one that ends it."""
    started = {}

    def begin(token=""):
        child = subprocess.Popen(["sleep", "600"])
        started[child.pid] = child
        return member_of(child.pid, token)

    def end(member):
        child = started[member.process.pid]
        child.kill()
        child.wait()

    begin.end = end
    yield begin
    for child in started.values():
        child.kill()
        child.wait()


def joined(path, member, made=PLAN, *, inherited=False):
    return registry.join(path, made, member, inherited=inherited)


def running(path, member, made=PLAN, keep=None):
    """Let a process start a plan whose hook has run."""
    found = joined(path, member, made)
    assert found.fresh
    registry.settle(path, found.start, {"A": "secret"}, keep)
    return found.start


def test_the_first_starts_and_the_others_attach(path, process):
    """The first process has to run the hook; a process that comes afterwards reads what the hook changed."""
    first, second = process(), process()
    start = running(path, first)
    found = joined(path, second)
    assert (found.start.token, found.fresh, found.blocker) == (start.token, False, None)
    assert found.start.members == [first, second]
    assert registry.recorded_difference(path, found.start) == {"A": "secret"}
    assert joined(path, second).known


def test_nobody_attaches_before_the_hook_has_run(path, process):
    """A process that comes while the hook runs is told which process it waits for, and is not registered."""
    joined(path, process())
    assert joined(path, process()) == registry.Joined(None, blocker=os.getpid())
    with registry.locked_starts(path) as starts:
        assert len(starts[0].members) == 1


def test_one_of_many_at_once_starts(path):
    """Of many processes at once one starts; they write the file one after the other."""
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda number: joined(path, member_of(os.getpid(), str(number)), a_plan(hook=None)), range(64))
        )
    assert [each.fresh for each in found].count(True) == 1
    with registry.locked_starts(path) as starts:
        assert len(starts[0].members) == 64


def test_a_start_whose_hook_died_is_none(path, process):
    """If the process that runs the hook dies, the next one starts again, and nothing of the first start remains."""
    keeper = process()
    found = joined(path, keeper)
    with registry.locked_starts(path) as starts:
        starts[0].keeper = keeper
    process.end(keeper)
    again = joined(path, process())
    assert again.fresh
    assert again.start.token != found.start.token


def test_a_start_ends_with_its_last_process(path, process, tmp_path):
    """A start ends with its last process, however that ended, and a later start does not get what it recorded."""
    first, second = process(), process()
    start = running(path, first)
    joined(path, second)
    process.end(first)
    assert joined(path, second).known
    process.end(second)
    again = joined(path, process())
    assert again.fresh
    assert registry.recorded_difference(path, start) is None
    assert os.listdir(tmp_path) == ["x.activations"]


def test_a_process_with_the_same_pid_is_another(path, process):
    """A process with the pid of an ended one is recognised as another by its start time."""
    other = process()
    running(path, other._replace(process=other.process._replace(start=1)))
    assert joined(path, SELF).fresh


def test_when_the_last_has_left_nothing_is_there(path, process, tmp_path):
    """Leaving without having joined changes nothing; the last process to leave removes the files."""
    first = process()
    running(path, first)
    registry.leave(path, SELF)
    assert len(os.listdir(tmp_path)) == 2
    assert registry.leave(path, first) is None
    assert os.listdir(tmp_path) == []
    assert registry.leave(path, first) is None


def test_a_process_may_use_an_environment_twice(path):
    """A process may use an environment twice: each use has its own token and ends separately."""
    one, two = SELF._replace(token="1"), SELF._replace(token="2")
    running(path, one)
    joined(path, two)
    registry.leave(path, one)
    assert joined(path, one).start.members == [two, one]


def test_what_runs_at_the_end_comes_before_the_next_start(path, process):
    """The next start waits until `hook.on-deactivate` has ended, unless the process that runs it is killed."""
    ending = a_plan(on_deactivate="true")
    first, keeper = process(), process()
    running(path, first, ending, keep=lambda: keeper.process.pid)
    process.end(first)
    for made in (ending, PLAN):
        assert joined(path, process(), made) == registry.Joined(None, blocker=keeper.process.pid)
    process.end(keeper)
    assert joined(path, process()).fresh


def test_who_waits_is_told_when_somebody_leaves(path, process):
    """The watcher is woken when a process leaves, and the last process is told to wait for the watcher."""
    ending = a_plan(on_deactivate="true")
    first, second = process(), process()
    keeper = subprocess.Popen(
        [
            "python3",
            "-c",
            "import signal; signal.pthread_sigmask(0, [signal.SIGURG]); print(flush=True); signal.sigwait([signal.SIGURG])",
        ],
        stdout=subprocess.PIPE,
    )
    with keeper:
        keeper.stdout.readline()
        running(path, first, ending, keep=lambda: keeper.pid)
        joined(path, second, ending)
        assert registry.leave(path, first) is None
        assert keeper.wait() == 0
    running(path, first)
    keeper = process()
    with registry.locked_starts(path) as starts:
        starts[-1].keeper = keeper
        starts[-1].ends = True
    assert registry.leave(path, first) == keeper


def test_a_changed_environment_starts_beside_the_old_one(path, process):
    """A changed plan makes a new start, whose hook runs; both starts last as long as somebody uses them."""
    running(path, process())
    found = joined(path, process(), a_plan(vars=[("A", "1")]))
    assert found.fresh
    with registry.locked_starts(path) as starts:
        assert len(starts) == 2


def test_another_mode_is_refused_with_the_pids(path, process):
    """Another mode is refused with Flox's text, even for a process that would not be registered."""
    first, second = process(), process()
    running(path, first)
    joined(path, second)
    other = a_plan(mode="run", hook=None)
    pids = ", ".join(map(str, sorted((first.process.pid, second.process.pid))))
    for refused in (lambda: joined(path, SELF, other), lambda: registry.check_mode(path, other, SELF)):
        with pytest.raises(ModeClash) as caught:
            refused()
        assert flox_dialect.words(caught.value) == (
            "Environment can't be activated in 'run' mode whilst there are existing activations in 'dev' mode\n\n"
            f"Exit all activations of the environment and try again.\nPIDs of the running activations: {pids}"
        )
        assert caught.value.pids == tuple(sorted((first.process.pid, second.process.pid)))


def test_the_only_process_may_change_the_mode(path):
    """If only one process uses an environment, it may activate it in another mode."""
    running(path, SELF)
    assert joined(path, SELF, a_plan(mode="run")).fresh


def test_who_has_inherited_the_variables_waits_for_nobody(path, process):
    """A command that the hook runs is attached at once; if no start is running, nothing is made."""
    assert joined(path, SELF, inherited=True) == registry.Joined(None)
    assert not os.path.exists(path)
    joined(path, process())
    assert joined(path, SELF, inherited=True).start.members[1] == SELF


def test_without_code_there_is_nothing_to_wait_for(path, process):
    """In an environment without a hook, a shell is registered and waits for nobody."""
    plain = a_plan(hook=None)
    assert joined(path, process(), plain).start.ready
    assert joined(path, process(), plain).start is not None


def test_a_failed_hook_leaves_nothing(path, process, tmp_path):
    """After a failed hook the next process starts again."""
    found = joined(path, process())
    registry.remove_start(path, found.start)
    assert os.listdir(tmp_path) == []
    assert joined(path, process()).fresh


def test_the_files_are_for_their_owner_alone(path, process, tmp_path):
    """The files have mode 0600, and the file that says who is attached does not contain the exported values."""
    running(path, process())
    found = [tmp_path / name for name in os.listdir(tmp_path)]
    assert [file.stat().st_mode & 0o777 for file in found] == [0o600, 0o600]
    assert "secret" not in (tmp_path / "x.activations").read_text()


@pytest.mark.parametrize(
    "changed",
    [
        {"keeper": 0},
        {"keeper": ["../../tmp", 1, ""]},
        {"members": [["\0", 1, ""]]},
        {"members": [[1, "1", ""]]},
        {"members": [[True, 1, ""]]},
        {"members": [[1, 1, None]]},
        {"token": 7},
        {"mode": None},
        {"ready": "yes"},
    ],
)
def test_a_start_of_another_form_says_nothing(path, changed, process):
    """A start counts only if each part has its type: a pid becomes a path below /proc, and a token a file's name."""
    running(path, process())
    with open(path) as file:
        found = json.load(file)
    found["starts"][0] |= changed
    with open(path, "w") as file:
        json.dump(found, file)
    assert joined(path, process()).fresh


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 0}', "{", "null"])
def test_a_damaged_file_says_nothing(path, damage, process):
    """If the file is damaged, nobody counts as attached."""
    running(path, process())
    with open(path, "w") as file:
        file.write(damage)
    assert joined(path, process()).fresh


def test_what_was_written_before_the_last_boot_does_not_count(path, process):
    """A file from before the last boot does not count, because pids and start times begin anew."""
    running(path, process())
    with open(path) as file:
        found = json.load(file)
    with open(path, "w") as file:
        json.dump(found | {"boot": "another"}, file)
    assert joined(path, process()).fresh


def test_a_line_counts_up_to_its_end(path, process):
    """Anything behind the first line of the file is ignored, such as what a killed writer has left."""
    running(path, process())
    with open(path, "a") as file:
        file.write('"starts": []}')
    assert not joined(path, process()).fresh


def test_a_link_is_not_followed(path, tmp_path):
    """A link is not followed, neither for the file of uses nor for the file of changes."""
    (tmp_path / "elsewhere").write_text("{}")
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(OSError, match="symbolic links"):
        joined(path, SELF)
    start = Start(token="t", identity="", mode="dev", ready=True, ends=False, keeper=None, members=())
    os.symlink(tmp_path / "elsewhere", f"{path}.t")
    assert registry.recorded_difference(path, start) is None


def test_a_directory_that_others_may_write_is_refused(path, tmp_path):
    """A runtime directory that others may write to is refused, as it is for sockets."""
    tmp_path.chmod(0o770)
    with pytest.raises(HostError, match="others may write there"):
        joined(path, SELF)


def test_leftovers_of_other_environments_are_swept(path, process, tmp_path):
    """Files of starts without processes are removed; files in use, locked or of another version are left alone."""
    dead = process()
    running(path, process())
    (tmp_path / "foreign.activations").write_text('{"version": 0}')
    (tmp_path / "foreign.activations.token").write_text("{}")
    (tmp_path / "gone.activations.token").write_text("{}")
    for name in ("dead", "locked"):
        running(str(tmp_path / f"{name}.activations"), dead)
    process.end(dead)
    with open(tmp_path / "locked.activations") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        registry.sweep(path)
    assert {name.partition(".")[0] for name in os.listdir(tmp_path)} == {"x", "locked", "foreign"}


def test_one_file_for_sessions_with_and_without_a_runtime_directory(tmp_path, monkeypatch):
    """A file in another runtime directory of the same user is found there; another user's file is not."""
    own, fallback = tmp_path / "own", tmp_path / "fallback"
    for directory in (own, fallback):
        directory.mkdir(0o700)
    monkeypatch.setattr(runtime_directory, "user_directory", lambda xdg: str(fallback))
    assert registry.registry_path(f"{own}/n") == f"{own}/n.activations"
    (fallback / "n.activations").write_text("")
    assert registry.registry_path(f"{own}/n") == f"{fallback}/n.activations"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert registry.registry_path(f"{own}/n") == f"{own}/n.activations"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a file of somebody else's")
def test_another_user_s_file_is_none_of_ours(path):
    """A file that another user has made in place of ours is neither believed nor waited for."""
    registry.join(path, PLAN, SELF, inherited=False)
    os.chown(path, 12345, 12345)
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        registry.check_mode(path, a_plan(mode="run"), member_of(1))
        assert registry.leave(path, SELF) is None
        with registry.locked_starts(path) as starts:
            assert starts == []
    os.unlink(path)
