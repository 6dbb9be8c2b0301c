from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.activate.active import PROCESS, begin
from esker.environment import Environment
from esker.errors import ActivationFailed, CommandFailed, EnvironmentBusy, NotFound, TimedOut, UsageError
from tests.support.plans import a_plan


class Fake:
    """A runtime whose plan is what the test says."""

    name = "fake"

    def __init__(self, project, mode=None, **fields):
        self.project = os.path.realpath(project)
        self.plan = a_plan(self.project, mode=mode or "dev", **{"name": os.path.basename(project), **fields})
        self.begun = 0

    def begin(self, environ, deadline=None):
        """Activate the plan."""
        self.begun += 1
        return begin(self.plan, environ, deadline)

    def inherited(self, environ, base, deadline=None):
        """Nothing that a test needs."""


def environ():
    """The variables of this process without pytest's own."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(autouse=True)
def nothing_left():
    """Whatever a test does, the variables are as they were, key by key, and nothing is active."""
    before = environ()
    yield
    assert environ() == before
    assert PROCESS.holders == {}


@pytest.fixture
def patch():
    """Changes of variables and directory that end before the check above."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def project(tmp_path):
    (tmp_path / "app/.flox").mkdir(parents=True)
    return tmp_path / "app"


@pytest.fixture
def other(tmp_path):
    (tmp_path / "other/.flox").mkdir(parents=True)
    return Environment(
        tmp_path / "other", runtime=Fake(tmp_path / "other", vars=[("X", "other"), ("PATH", "/other:${PATH}")])
    )


def environment(project, **fields):
    return Environment(project, runtime=Fake(project, **fields))


def test_an_environment_is_found_from_the_current_directory(project, patch):
    """Without a path it is the nearest within the repository; with one it is that one."""
    (project / ".git").mkdir()
    (project / "src/deep").mkdir(parents=True)
    patch.chdir(project / "src/deep")
    assert Environment().project == str(project.resolve())
    assert repr(Environment(project, mode="run")) == f"Environment({str(project.resolve())!r}, mode='run')"
    with pytest.raises(NotFound):
        Environment(project / "src")


def test_making_one_runs_nothing(project):
    """Consent is `activate`, `variables` or `run`."""
    made = environment(project)
    assert made._runtime.begun == 0
    made.variables()
    assert made._runtime.begun == 1


def test_the_variables_of_this_process_are_set_and_come_back(project, patch):
    """Programs and the hook's exports are there inside, in this process and its children."""
    patch.setenv("GONE", "x")
    made = environment(
        project, vars=[("A", "it's\nexport EVIL=1")], hook="export B=$A; unset GONE", ports={"PORT": 12345}
    )
    before = dict(os.environ)
    made.activate()
    assert made.is_active
    assert (os.environ["A"], os.environ["B"]) == ("it's\nexport EVIL=1", "it's\nexport EVIL=1")
    assert (
        subprocess.run(["sh", "-c", 'echo "$PORT${GONE-no}"'], capture_output=True, check=True).stdout == b"12345no\n"
    )
    assert os.environ["PATH"].startswith(f"{project.resolve()}/.flox/run/x86_64-linux.app-dev/bin:")
    made.deactivate()
    assert not made.is_active
    assert dict(os.environ) == before


def test_one_instance_nests(project):
    """The inner end leaves the environment active; the hook has run once."""
    made = environment(project, vars=[("X", "1")])
    with made as same, made:
        assert same is made
        with made:
            pass
        assert os.environ["X"] == "1"
    assert "X" not in os.environ
    assert made._runtime.begun == 1


def test_two_instances_of_one_project_nest(project):
    """The environment is active until both have left, in any order."""
    first, second = environment(project, vars=[("X", "1")]), environment(project, vars=[("X", "2")])
    first.activate()
    second.activate()
    first.deactivate()
    assert os.environ["X"] == "1"
    assert first.is_active
    second.deactivate()
    assert "X" not in os.environ


def test_environments_leave_in_any_order(project, other):
    """The one that stays keeps what it gives."""
    made = environment(project, vars=[("X", "made"), ("Y", "made")])
    made.activate()
    other.activate()
    assert (os.environ["X"], os.environ["FLOX_PROMPT_ENVIRONMENTS"]) == ("other", "other app")
    made.deactivate()
    assert (os.environ["X"], os.environ.get("Y")) == ("other", None)
    assert os.environ["FLOX_PROMPT_ENVIRONMENTS"] == "other"
    assert os.environ["PATH"].startswith("/other:")
    assert "app/.flox" not in os.environ["PATH"]
    other.deactivate()


def test_edits_of_the_caller_stay(project, patch):
    """What the caller changed inside is there afterwards; what it deleted is not."""
    patch.setenv("KEPT", "before")
    patch.setenv("DELETED", "before")
    patch.setenv("PATH", "/a")
    with environment(project, vars=[("KEPT", "1"), ("DELETED", "1")]):
        os.environ["KEPT"] = "mine"
        del os.environ["DELETED"]
        os.environ["PATH"] += ":/mine"
    assert os.environ["KEPT"] == "mine"
    assert "DELETED" not in os.environ
    assert os.environ["PATH"] == "/a:/mine"


def test_deactivating_what_is_not_active_is_an_error(project):
    """Each instance undoes what it did."""
    made, same = environment(project), environment(project)
    with made, pytest.raises(ActivationFailed, match="was not activated by this object"):
        same.deactivate()


@pytest.mark.parametrize("fields", [{"hook": "exit 1"}, {"vars": [("A", "\0")]}, {"ports": {"A=B": 1}}])
def test_a_failed_activation_changes_nothing(project, fields):
    """Whether the hook or a variable fails, nothing is active and nothing is set."""
    before = dict(os.environ)
    made = environment(project, **fields)
    with pytest.raises(ActivationFailed), made:
        pytest.fail("it was activated")
    assert dict(os.environ) == before
    assert not made.is_active
    with pytest.raises(ActivationFailed):
        made.deactivate()


def test_variables_are_a_mapping_and_set_nothing(project):
    """The whole environment for a child; inside, it is the process's own, edits included."""
    made = environment(project, vars=[("X", "1")], hook="export Y=2")
    before = dict(os.environ)
    found = made.variables()
    assert (found["X"], found["Y"]) == ("1", "2")
    assert dict(os.environ) == before
    with made:
        os.environ["X"] = "mine"
        assert made.variables()["X"] == "mine"
    del os.environ["X"]


def test_a_command_that_is_none_runs_nothing(project):
    """An empty list, and a text where a list belongs, are refused before the hook runs."""
    made = environment(project, hook="touch $FLOX_ENV_PROJECT/ran")
    with pytest.raises(ValueError, match="`argv` is empty"):
        made.run([])
    with pytest.raises(TypeError, match="a list of words"):
        made.run("true")
    assert not (project / "ran").exists()


def test_running_a_program(project, capfd):
    """The output passes or is captured, the input is given, the directory is the caller's or the named one."""
    made = environment(project, vars=[("X", "1")])
    assert made.run(["sh", "-c", "echo $X; pwd; cat"], capture=True, stdin="in", cwd="/").stdout == "1\n/\nin"
    assert made.run(["sh", "-c", "echo $X; exit 3"], check=False).returncode == 3
    assert capfd.readouterr().out == "1\n"
    with pytest.raises(CommandFailed, match="ended with status 3"):
        made.run(["sh", "-c", "exit 3"])
    with pytest.raises(TimedOut):
        made.run(["sleep", "600"], timeout=0.01)


def test_another_thread_may_not_activate_another_environment(project, other):
    """It is told who has which one active; the same environment nests, and running needs no activation."""
    made = environment(project)
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool, made:
        with pytest.raises(EnvironmentBusy, match=f"thread `MainThread` has `{project.resolve()}` active"):
            pool.submit(other.activate).result()
        assert pool.submit(other.run, ["sh", "-c", "echo $X"], capture=True).result().stdout == "other\n"
        same = environment(project)
        pool.submit(same.activate).result()
        with pytest.raises(EnvironmentBusy, match="thread `worker_0` has"):
            other.activate()
        pool.submit(same.deactivate).result()


def test_a_thread_that_stays_keeps_others_out(project, other):
    """Also the first thread, once it has left the environment that the second still has."""
    made, same = environment(project), environment(project)
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        made.activate()
        pool.submit(same.activate).result()
        made.deactivate()
        with pytest.raises(EnvironmentBusy, match="thread `worker_0` has"):
            other.activate()
        same.deactivate()  # whichever thread does it
    with other:
        assert other.is_active


def test_many_threads_activate_the_same_environment(project):
    """They all see it active, and the last one to leave takes it away."""
    made = environment(project, vars=[("X", "1")])
    ready = threading.Barrier(8)

    def use():
        ready.wait()
        for _ in range(20):
            with made:
                assert os.environ["X"] == "1"

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(use) for _ in range(8)]:
            done.result()


HOSTILE = ["", "x", "it's", '"', "\n", "a\nexport EVIL=1\n", "\udcff", "$(exit)", "`", ":", "é \\"]
NAMES = ["X", "Y", "PATH", "CPATH"]


@pytest.mark.slow
@settings(max_examples=300 if os.environ.get("CI") else 30, deadline=None)
@given(
    original=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(HOSTILE)),
    values=st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(HOSTILE)), min_size=3, max_size=3),
    order=st.lists(st.integers(0, 2), max_size=12),
    fails=st.booleans(),
)
def test_any_nesting_in_any_order_leaves_nothing(tmp_path_factory, original, values, order, fails):
    """Every variable is as it was, key by key, under hostile values and exceptions, whoever leaves first."""
    base = tmp_path_factory.getbasetemp()
    made = []
    for index, assigned in enumerate(values):
        (base / f"project {index}/.flox").mkdir(parents=True, exist_ok=True)
        quoted = [
            (name, value.replace("\\", "\\\\").replace("$", "\\$").replace("`", "\\`"))
            for name, value in assigned.items()
        ]
        made.append(environment(base / f"project {index}", vars=quoted))
    saved = dict(os.environ)
    try:
        for name in NAMES:
            os.environ.pop(name, None)
        os.environ.update(original)
        before = dict(os.environ)
        for index in order:  # the first mention activates, the next deactivates, and so on
            (made[index].deactivate if made[index].is_active else made[index].activate)()
            for name, value in values[index].items():
                assert not made[index].is_active or os.environ[name] == value or name in ("PATH", "CPATH")
        with pytest.raises(ZeroDivisionError) if fails else made[0], made[1], made[0], made[2]:
            assert not fails or 1 / 0
        for each in made:
            if each.is_active:
                each.deactivate()
        assert dict(os.environ) == before
    finally:
        os.environ.clear()
        os.environ.update(saved)


def test_importing_costs_little():
    """The class loads nothing that reads a manifest, resolves or realises."""
    script = (
        "import esker; esker.Environment; import sys; print(*sorted(m for m in sys.modules if m.startswith('esker.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "esker.activate",
        "esker.activate.active",
        "esker.activate.composition",
        "esker.activate.difference",
        "esker.activate.edits",
        "esker.activate.expansion",
        "esker.activate.lists",
        "esker.environment",
        "esker.errors",
        "esker.formats",
        "esker.formats.json_text",
        "esker.host",
        "esker.host.clock",
        "esker.host.context",
        "esker.host.interruption",
        "esker.host.isolation",
        "esker.host.process",
        "esker.host.variables",
        "esker.runtimes",
        "esker.runtimes.registry",
    ]


def test_a_runtime_that_there_is_not(tmp_path):
    """A misspelt name is refused as the command line refuses it, with the names that there are."""
    (tmp_path / "flake.nix").write_text("")
    with pytest.raises(UsageError, match="there is no declaration for a runtime `nxi`") as caught:
        Environment(tmp_path, runtime="nxi")
    assert caught.value.hint == "name one of native, nix, guix, venv"
