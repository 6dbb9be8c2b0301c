"""How the command that serves a run of pytest ends: with the run, whatever happens to either of them."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from esker.host import pidfd, process_table

pytestmark = pytest.mark.slow

pytest_command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "esker.testing")
activate = (sys.executable, "-m", "esker", "activate", "--")
WAITING = """\
import os, signal
import pytest
@pytest.mark.esker(services=["one"])
def test_it(esker_environment):
    before()
    with open("pids", "w") as file: print(os.getpid(), esker_environment._session._process.pid, file=file)
    signal.pause()
"""


@pytest.fixture(params=["activated", "joined"])
def how(request, project):
    """Give the command line of pytest, outside and inside an activation."""
    os.mkfifo(project.directory / "pids")
    return pytest_command if request.param == "activated" else (*activate, *pytest_command)


def pids(project):
    """Return the pids of pytest and of the command that serves it, once the service has started."""
    return [int(pid) for pid in (project.directory / "pids").read_text().split()]


def ended(pid, seconds=20):
    """Wait until a process has ended, and return whether it has."""
    with pidfd.opened(pid) as process:
        return process is None or pidfd.wait(process, seconds)


def outcome(said):
    """Return the last line of a run of pytest, without its duration."""
    return said.splitlines()[-1].strip("= ").partition(" in ")[0]


def test_a_killed_run_takes_its_command_along(project, how):
    """`kill -9` of pytest ends the command and the service; what the hook has begun is undone outside an activation."""
    project.write("test_it.py", "def before(): pass\n" + WAITING)
    with project.running(*how):
        tests, session = pids(project)
        os.kill(tests, signal.SIGKILL)
        assert ended(session)
        project.esker("services", "wait", "--for", "stopped", "one", "--timeout", "20")


def test_a_child_that_a_test_has_forked_keeps_nothing(project, how):
    """It has a copy of the pipe to the command, which ends all the same when pytest is killed."""
    project.write(
        "test_it.py",
        "def before():\n    child = os.fork()\n    if not child:\n        signal.pause()\n        os._exit(0)\n"
        "    open('child', 'w').write(str(child))\n" + WAITING,
    )
    with project.running(*how):
        tests, session = pids(project)
        child = int((project.directory / "child").read_text())
        try:
            os.kill(tests, signal.SIGKILL)
            assert ended(session)
            project.esker("services", "wait", "--for", "stopped", "one", "--timeout", "20")
            assert process_table.entry(child) is not None
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_service_that_a_shell_uses_outlives_a_killed_run(project, how):
    """Only what nobody else uses is stopped."""
    project.write("test_it.py", "def before(): pass\n" + WAITING)
    project.esker("services", "start", "one")
    with project.running(*how):
        tests, session = pids(project)
        os.kill(tests, signal.SIGKILL)
        assert ended(session)
    assert process_table.entry(project.starts[0]) is not None
    assert len(project.starts) == 1
    project.esker("services", "stop")


def test_a_killed_command_is_told_and_the_variables_are_restored(project):
    """Tests that ask it afterwards fail with its name; the service runs until pytest ends."""
    project.write(
        "test_it.py",
        """\
import os, pathlib, signal
import pytest
@pytest.mark.esker(services=["one"])
def test_it(esker_environment):
    os.kill(esker_environment._session._process.pid, signal.SIGKILL)
    os.environ["GREETING"] = "mine"
def test_later(esker_environment): esker_environment.start("bad")
def test_running(): os.kill(int(pathlib.Path(".flox/cache/one.log").read_text()), 0)
""",
    )
    project.write(
        "conftest.py",
        """\
import os
def ours(): return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
before = ours()
def pytest_unconfigure(): assert ours() == before | {"GREETING": "mine"}
""",
    )
    done = project.run(*pytest_command)
    assert outcome(done.stdout) == "1 failed, 2 passed, 1 error", done.stdout
    assert "the Esker that serves the tests (`" in done.stdout
    assert "has ended with signal 9\nhint: run the tests again\n" in done.stdout
    assert "AssertionError" not in done.stdout + done.stderr
    project.esker("services", "wait", "--for", "stopped", "one", "--timeout", "20")


def test_an_interrupted_start_is_given_up(project):
    """Ctrl-C while a service becomes ready ends the run at once, and leaves nothing."""
    manifest = project.directory / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace("test -s", 'echo x >"$FLOX_ENV_PROJECT/begun"; false && test -s'))
    os.mkfifo(project.directory / "begun")
    project.write("test_it.py", "import pytest\n@pytest.mark.esker(services=['one'])\ndef test_it(): pass\n")
    with project.running(*pytest_command) as running:
        (project.directory / "begun").read_text()
        (project.directory / "begun").unlink()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=20)[0]
    assert "KeyboardInterrupt" in said
    project.esker("services", "wait", "--for", "stopped", "one", "--timeout", "20")


def test_what_a_hook_prints_is_shown_with_the_test(project):
    """Pytest captures it as the output of the set-up; neither a reply nor a log is lost to it."""
    manifest = project.directory / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace("echo ran >> hook.log", "echo said; echo complained >&2"))
    project.write("test_it.py", "import pytest\n@pytest.mark.esker\ndef test_it(): assert False\n")
    said = project.run(*pytest_command).stdout
    assert outcome(said) == "1 failed"
    captured = said.partition("Captured stderr setup")[2]
    assert "\nsaid\ncomplained\n" in captured


def test_a_changed_path_stays_changed(project):
    """What a test adds to PATH is there after the run; what the environment had added is gone."""
    project.write(
        "test_it.py",
        "import os\ndef test_it(esker_environment):\n    assert '/.flox/run/' in os.environ['PATH']\n"
        "    os.environ['PATH'] = '/mine:' + os.environ['PATH']\n",
    )
    project.write(
        "conftest.py",
        "import os\nbefore = os.environ['PATH']\n"
        "def pytest_unconfigure(): assert os.environ['PATH'] == '/mine:' + before\n",
    )
    done = project.run(*pytest_command)
    assert (done.returncode, outcome(done.stdout)) == (0, "1 passed"), done.stdout + done.stderr
