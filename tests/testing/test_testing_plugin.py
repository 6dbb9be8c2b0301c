"""The pytest plugin, in runs of pytest of its own: by `-p esker.testing`, and inside `esker activate`."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from esker.host import process_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WITHOUT = """\
import sys
for name in ("msgspec", "packaging", "rich", "tomlkit", "uv"):  # what the environment's own Python does not have
    sys.modules[name] = None
"""
pytest_command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "esker.testing")
activate = (sys.executable, "-m", "esker", "activate", "--")
inside = (*activate, *pytest_command)


def outcome(done):
    """Return the last line of a run of pytest, without its duration."""
    return done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]


@pytest.fixture(params=["activated", "joined"])
def how(request, project):
    """Give the command line of pytest, outside and inside an activation; inside, Python has nothing that Esker needs."""
    if request.param == "activated":
        return pytest_command
    project.write("conftest.py", WITHOUT)
    return inside


def test_the_environment_is_active_from_its_first_use_to_the_end(project):
    """Not at collection, nor for tests before; afterwards the variables are as they were, and the hook has run once."""
    project.write(
        "test_it.py",
        """\
import os
import pytest
def test_before(): assert "GREETING" not in os.environ and not os.path.exists("hook.log")
def test_used(esker_environment): assert (os.environ["GREETING"], esker_environment.project) == ("hello", os.getcwd())
@pytest.mark.esker
def test_marked(): assert os.environ["GREETING"] == "hello"
""",
    )
    project.write(
        "conftest.py",
        "import os\nbefore = dict(os.environ)\n"
        "def pytest_unconfigure(): assert dict(os.environ) == before | {'PYTEST_VERSION': os.environ['PYTEST_VERSION']}\n",
    )
    assert "3 tests collected" in project.run(*pytest_command, "--collect-only").stdout
    assert not (project.directory / "hook.log").exists()
    done = project.run(*pytest_command)
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout + done.stderr
    assert project.lines("hook.log") == ["ran"]


def test_inside_an_activation_no_second_one_begins(project):
    """The hook has run for the command, and runs no more; what the test's own shell has changed stays."""
    project.write(
        "test_it.py",
        "import os\ndef test_it(esker_environment): assert os.environ['GREETING'] == 'hi'\n",
    )
    done = project.run(*activate, "sh", "-c", 'GREETING=hi exec "$@"', "sh", *pytest_command)
    assert (done.returncode, outcome(done)) == (0, "1 passed"), done.stdout
    assert project.lines("hook.log") == ["ran"]


SERVICES = """\
import os, pathlib
import pytest

def runs(): return [pid for pid in pathlib.Path(".flox/cache/one.log").read_text().split() if os.path.exists("/proc/" + pid)]

@pytest.fixture(scope="session")
def early(): return runs()

@pytest.mark.esker(services=["one"])
def test_marked(early): assert len(early) == 1

@pytest.mark.esker(services=["one"])
class TestGroup:
    def test_again(self): assert len(runs()) == 1

def test_by_hand(esker_environment):
    esker_environment.start("one")
    assert len(runs()) == 1
"""


def test_services_are_ready_before_any_other_fixture(project, how):
    """Also before those of the session; each is started once, with the activation, and has stopped at the end."""
    project.write("test_it.py", SERVICES)
    done = project.run(*how)
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout
    assert len(project.starts) == 1
    assert process_table.entry(project.starts[0]) is None
    assert project.lines("hook.log") == ["ran"]


def test_nothing_is_started_that_no_test_asks_for(project, how):
    """A run of other tests neither activates nor starts anything."""
    project.write("test_it.py", SERVICES + "def test_other(): assert True\n")
    done = project.run(*how, "-k", "other")
    assert (done.returncode, project.starts) == (0, [])
    assert len(project.lines("hook.log")) == (0 if how is pytest_command else 1)


def test_what_was_started_to_stay_stays(project, how):
    """A service that runs already is joined, not started, and runs on."""
    project.write("test_it.py", SERVICES)
    project.esker("services", "start", "one")
    done = project.run(*how)
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout
    assert len(project.starts) == 1
    assert process_table.entry(project.starts[0]) is not None
    project.esker("services", "stop")


def test_runs_at_the_same_time_share_one_service(project, how):
    """Two runs of pytest, as two workers are, meet while both use it: it was started once, and ends with the last."""
    os.mkfifo(project.directory / "meeting")
    project.write(
        "test_it.py",
        """\
import os
import pytest
@pytest.mark.esker(services=["one"])
def test_it(): os.close(os.open("meeting", int(os.environ["SIDE"])))
""",
    )
    sides = [("env", f"SIDE={side}", *how) for side in (os.O_RDONLY, os.O_WRONLY)]
    with project.running(*sides[0]) as first, project.running(*sides[1]) as second:
        said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert len(project.starts) == 1


def test_a_killed_run_leaves_no_service(project, how):
    """The lease is the process's that runs the tests, and ends with it."""
    os.mkfifo(project.directory / "pids")
    project.write(
        "test_it.py",
        """\
import os, signal
import pytest
@pytest.mark.esker(services=["one"])
def test_it():
    with open("pids", "w") as file: print(os.getpid(), file=file)
    signal.pause()
""",
    )
    with project.running(*how):
        pid = int((project.directory / "pids").read_text())
        os.kill(pid, 9)
        project.esker("services", "wait", "--for", "stopped", "one", "--timeout", "20")


def test_a_service_that_fails_fails_each_test_that_asked_for_it(project, how):
    """Each is told its name and the end of its log; it is tried once, and other tests run."""
    project.write(
        "test_it.py",
        """\
import pytest
@pytest.mark.parametrize("number", range(3))
@pytest.mark.esker(services=["bad"])
def test_bad(number): pass
@pytest.mark.esker(services=["one"])
def test_good(): pass
@pytest.mark.esker(services=["absent"])
def test_unknown(): pass
""",
    )
    done = project.run(*how)
    assert outcome(done) == "1 passed, 4 errors"
    assert done.stdout.count("\nservice `bad` exited with status 3\n  no luck\n") == 3
    assert "\nservice `absent` does not exist\nhint: the services here are `bad`, `one`\n" in done.stdout
    assert "Traceback" not in done.stdout
    assert "another exception" not in done.stdout
    assert project.lines(".flox/cache/bad.log") == ["tried"]


def test_an_error_of_a_service_has_its_class(project, how):
    """Whoever starts one by hand may handle what comes of it."""
    project.write(
        "test_it.py",
        """\
import pytest
from esker.errors import ServiceFailed, ServicesNotReady, UnknownService
def test_it(esker_environment):
    with pytest.raises(ServiceFailed) as caught: esker_environment.start("bad")
    assert (caught.value.service, caught.value.log[-1]) == ("bad", "no luck")
    with pytest.raises(UnknownService): esker_environment.start("absent")
    with pytest.raises(ServicesNotReady): esker_environment.start("one", seconds=0.001)
""",
    )
    done = project.run(*how)
    assert (done.returncode, outcome(done)) == (0, "1 passed"), done.stdout


def test_an_own_fixture_that_fails_shows_its_line_and_the_message_alone(project, how):
    """If a fixture or a test starts a service, pytest shows that line, message, log and hint, and no code of ours."""
    project.write(
        "test_it.py",
        """\
import pytest
@pytest.fixture(scope="session")
def bad(esker_environment): esker_environment.start("bad")
def test_bad(bad): pass
def test_again(bad): pass
def test_absent(esker_environment): esker_environment.start("absent")
""",
    )
    done = project.run(*how)
    assert outcome(done) == "1 failed, 2 errors"
    assert done.stdout.count('>   def bad(esker_environment): esker_environment.start("bad")\n') == 2
    assert done.stdout.count("esker_pytest.errors.ServiceFailed: service `bad` exited with status 3\n") == 2
    assert done.stdout.count("  no luck\n") == 2
    assert done.stdout.count("hint: fix what its log reports") == 2
    assert "UnknownService: service `absent` does not exist\n" in done.stdout
    assert "src/esker" not in done.stdout
    assert "active_environment.py" not in done.stdout
    assert "session.py" not in done.stdout


def test_without_an_environment_a_test_is_told_what_to_do(project):
    """It is an error of the tests that use it, not a skip, and of no other."""
    project.write("elsewhere/pytest.ini", "[pytest]\n")
    project.write("elsewhere/test_it.py", "def test_it(esker_environment): pass\ndef test_other(): pass\n")
    done = project.run(*pytest_command, "elsewhere")
    assert outcome(done) == "1 passed, 1 error"
    where = project.directory / "elsewhere"
    assert (
        f"\nno environment for the tests was found in `{where}/`\nhint: make one with `esker init -d {where}`"
        in done.stdout
    )


def test_a_mistyped_project_is_named_as_the_cause(project):
    """A setting that names no project is to be corrected: nobody is told to make an environment elsewhere."""
    project.write("elsewhere/pytest.ini", "[pytest]\nesker_project = typo\n")
    project.write("elsewhere/test_it.py", "def test_it(esker_environment): pass\n")
    told = project.run(*pytest_command, "elsewhere").stdout
    where = project.directory / "elsewhere"
    assert f"\n`esker_project = typo` in pytest's settings names `{where}/typo`, which has no environment\n" in told
    assert f"\nhint: correct it: the path of a project directory, relative to `{where}`\n" in told
    assert "esker init" not in told


@pytest.mark.parametrize("command", [("esker_project=..",), ("",)])
def test_the_environment_may_lie_elsewhere(project, command):
    """It is the one that the setting names, or the one that is active around pytest."""
    project.write("elsewhere/pytest.ini", f"[pytest]\n{command[0]}\n")
    project.write(
        "elsewhere/test_it.py",
        "import os\ndef test_it(esker_environment): assert esker_environment.project == os.getcwd()\n",
    )
    done = project.run(*(pytest_command if command[0] else inside), "elsewhere")
    assert (done.returncode, outcome(done)) == (0, "1 passed"), done.stdout


@pytest.mark.parametrize(
    "mark", ["'one'", "services='one'", "names=['one']", "services=5", "services=None", "services=[1]", "services=b'x'"]
)
def test_a_mark_that_makes_no_sense_ends_the_run(project, mark):
    """Before anything has run."""
    project.write("test_it.py", f"import pytest\n@pytest.mark.esker({mark})\ndef test_it(): pass\n")
    done = project.run(*pytest_command)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        'ERROR: test_it.py::test_it: write the mark as `@pytest.mark.esker(services=["NAME"])`, '
        f"not `@pytest.mark.esker({mark})`" in done.stderr
    )


def test_a_list_that_can_be_read_once_is_no_list_of_services(project):
    """A generator would name its services to the first test alone."""
    project.write(
        "test_it.py",
        "import pytest\npytestmark = pytest.mark.esker(services=(name for name in ['one']))\n"
        "def test_it(): pass\ndef test_again(): pass\n",
    )
    done = project.run(*pytest_command)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "not `@pytest.mark.esker(services=<generator" in done.stderr


def test_every_wrong_mark_is_named_and_each_only_once(project):
    """Whoever mends the first one is not told of the second only then; a mark of a class is one mistake."""
    project.write(
        "test_it.py",
        """\
import pytest
@pytest.mark.esker("one")
class TestGroup:
    def test_first(self): pass
    @pytest.mark.esker(service=["one"])
    def test_second(self): pass
@pytest.mark.parametrize("number", range(3))
@pytest.mark.esker(services="one")
def test_third(number): pass
@pytest.mark.esker(services=["one"])
def test_right(): pass
""",
    )
    project.write("test_other.py", "import pytest\npytestmark = pytest.mark.esker(['one'])\ndef test_it(): pass\n")
    told = [line for line in project.run(*pytest_command).stderr.splitlines() if line]
    assert [line.partition(": write")[0] for line in told] == [
        "ERROR: test_it.py::TestGroup::test_first",
        "ERROR: test_it.py::TestGroup::test_second",
        "ERROR: test_it.py::test_third[0]",
        "ERROR: test_other.py::test_it",
    ]


def test_a_wrong_mark_fails_its_tests_where_workers_run_them(project):
    """A worker cannot end the run of pytest-xdist with a message: the tests say what is wrong, and the others run."""
    project.write(
        "test_it.py",
        "import pytest\n@pytest.mark.esker('one')\ndef test_first(): pass\n"
        "@pytest.mark.esker(services=5)\ndef test_second(): pass\ndef test_other(): pass\n",
    )
    done = project.run(*pytest_command, "-n", "2")
    assert outcome(done) == "1 passed, 2 errors", done.stdout + done.stderr
    assert "\ntest_it.py::test_first: write the mark as" in done.stdout
    assert "\ntest_it.py::test_second: write the mark as" in done.stdout
    assert "INTERNALERROR" not in done.stdout


def test_a_python_without_esker_uses_the_command(project):
    """Outside an activation too: the plugin needs the standard library alone, and lets `esker` do the work."""
    project.write("conftest.py", WITHOUT + "sys.modules['esker'] = None\n")
    project.write("test_it.py", SERVICES)
    done = project.run(*pytest_command)
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout


def loaded(project, *arguments):
    """Return the modules that pytest loads."""
    code = "import atexit, runpy, sys; atexit.register(lambda: print(*sys.modules)); runpy.run_module('pytest', run_name='__main__')"
    done = project.run(sys.executable, "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_loading_it_adds_one_small_module_to_pytest(project):
    """It loads its own module alone; `pytest --version` loads no plugin at all."""
    with_it, without = (loaded(project, "--version", "--version", "-p", f"{no}esker.testing") for no in ("", "no:"))
    assert with_it - without == {"esker_pytest"}
    assert "esker_pytest" not in loaded(project, "--version")


def test_an_installed_esker_brings_it(project, tmp_path):
    """By an entry point of such a name that naming the plugin on the command line as well loads it once."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    metadata = tmp_path / "installed/declared-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: declared\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {module}\n" for name, module in declared.items())
    )
    path = f"{tmp_path / 'installed'}:{ROOT / 'src'}"
    for option, count in (("", 1), ("esker.testing", 1), ("no:esker.testing", 0)):
        argv = (*pytest_command[:5], *(("-p", option) if option else ()), "--markers")
        done = project.run(*argv, PYTHONPATH=path)
        assert (done.returncode, done.stdout.count("@pytest.mark.esker(services=[...])")) == (0, count), done.stderr


def test_its_source_is_enough(project):
    """Where nothing is installed that has an entry point, as inside an activation, its name alone brings it."""
    code = "import importlib.metadata as m, runpy; m.distributions = lambda: []; runpy.run_module('pytest', run_name='__main__')"
    done = project.run(sys.executable, "-c", code, "-p", "esker.testing", "--markers")
    assert (done.returncode, done.stdout.count("@pytest.mark.esker(services=[...])")) == (0, 1), done.stderr
