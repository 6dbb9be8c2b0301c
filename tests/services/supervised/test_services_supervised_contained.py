"""The first process of a container with services, run here as an ordinary one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest

from esker.services.specification import CheckSpec, ServiceSpec

_CALL = "import sys; from esker.services.supervised import contained; sys.exit(contained.{}(sys.argv[1]{}))"


@pytest.fixture
def plan(tmp_path):
    """Give a function that writes the file of an image with these services, and returns its path."""

    def write(*specs, **variables):
        (tmp_path / "state").mkdir()
        value = {
            "services": [asdict(spec) for spec in specs],
            "variables": variables,
            "directory": str(tmp_path),
            "state": str(tmp_path / "state"),
            "runtime": str(tmp_path / "run/services"),
        }
        (tmp_path / "services.json").write_text(json.dumps(value))
        return str(tmp_path / "services.json")

    return write


def health(path):
    done = subprocess.run(
        [sys.executable, "-c", _CALL.format("health", ""), path], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.strip()


def started(path, *arguments):
    command = [sys.executable, "-c", _CALL.format("run", ", sys.argv[2:]"), path, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_services_run_until_a_signal(plan):
    """Their output comes with their names, their health is told, and SIGTERM ends all with status 0."""
    check = CheckSpec(form="shell", target=("true",))
    path = plan(
        ServiceSpec(name="first", command="echo one $WORD", has_table=True, oneshot=True),
        ServiceSpec(
            name="second",
            command="echo two; exec sleep 1000",
            has_table=True,
            depends_on={"first": "service_completed_successfully"},
            check=check,
        ),
        WORD="word",
    )
    with started(path) as process:
        assert process.stdout.readline() == "first  | one word\n"
        assert process.stdout.readline() == "second | two\n"
        while health(path)[0] != 0:
            assert process.poll() is None
        assert health(path) == (0, "healthy")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    status, said = health(path)
    assert status == 1
    assert said.startswith("the services do not run")


@pytest.mark.slow
def test_a_service_that_fails_at_its_start(plan):
    """The container ends with status 1, and says which service and why."""
    with started(
        plan(ServiceSpec(name="bad", command="echo because; exit 3", has_table=True, oneshot=True))
    ) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "`bad`" in err
    assert "because" in out + err


@pytest.mark.slow
def test_services_that_end(plan):
    """When every service has completed, so has the container."""
    with started(plan(ServiceSpec(name="once", command="exit 0", has_table=True, oneshot=True))) as process:
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_command_instead(plan):
    """With arguments nothing is started: they are the command."""
    with started(plan(), "sh", "-c", "echo command; exit 5") as process:
        assert process.communicate(timeout=20)[0] == "command\n"
    assert process.returncode == 5
    with started("/nonexistent", "no-such-program") as process:
        assert "no-such-program: No such file" in process.communicate(timeout=20)[1]
    assert process.returncode == 127


def test_it_needs_the_standard_library_alone():
    """An image has nothing else of Esker's: the modules import no other package."""
    code = (
        "import sys; import esker.services.supervised.contained, esker.services.supervised.server; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    directory = os.path.dirname(os.path.dirname(__import__("esker").__file__))
    done = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {directory!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert loaded - sys.stdlib_module_names - {"esker", "__main__"} == set()
