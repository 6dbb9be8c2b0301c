"""The first process of a container with services, run here as an ordinary one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from esker.errors import SupervisorEnded
from esker.host.frozen_dataclass import replaced
from esker.services.specification import CheckSpec, ServiceSpec
from esker.services.supervised import contained, protocol

_CALL = """\
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as the image's script does
from esker.services.supervised import contained
sys.exit(contained.{}(sys.argv[1]{}))
"""


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


def started(path, *arguments, **options):
    command = [sys.executable, "-c", _CALL.format("run", ", sys.argv[2:]"), path, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


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


NEVER_READY = ServiceSpec(
    name="slow",
    command="exec 2>/dev/null; trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done",
    has_table=True,
    check=CheckSpec(form="log", target=("never",)),
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_services_start(plan, number):
    """What was begun is stopped, and the end is that of a process that was asked to end: no error, and status 0."""
    with started(plan(NEVER_READY)) as process:
        assert process.stdout.readline() == "slow | up\n"
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("slow | bye\n", "")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("ready", [False, True])
def test_a_signal_of_the_terminal(plan, ready):
    """Ctrl-C goes to every process of the group, beside the supervisor too; the last lines are printed."""
    check = CheckSpec(form="log", target=("up" if ready else "never",))
    path = plan(replaced(NEVER_READY, check=check))
    with started(path, process_group=0) as process:
        assert process.stdout.readline() == "slow | up\n"
        while ready and health(path)[0] != 0:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=20) == ("slow | bye\n", "")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_before_anything_is_started(plan, processes):
    """The supervisor still imports its modules, and does not listen yet: the signal waits until it does."""
    with started(plan(NEVER_READY)) as process:
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        while len(Path(children).read_text().split()) < processes:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out in {"", "slow | up\nslow | bye\n"}


@pytest.mark.slow
def test_a_container_that_is_started_again_prints_what_is_new(plan):
    """Its files are those of before, and what they have was printed then."""
    path = plan(ServiceSpec(name="once", command="echo again", has_table=True, oneshot=True))
    for _ in range(2):
        with started(path) as process:
            assert process.communicate(timeout=20) == ("once | again\n", "")
        assert process.returncode == 0


def test_a_start_may_take_as_long_as_it_needs(plan):
    """Nobody could give it a longer limit: who runs the container ends it when it has taken too long."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hello = {protocol.KEY: protocol.VERSION, "supervisor": os.getpid(), "guardian": os.getpid()}
        theirs.sendall(protocol.line(**hello) + protocol.line(error=SupervisorEnded("ended").record()))
        assert contained._run_services(contained._plan(plan(NEVER_READY)), ours) == 0
        assert protocol.parse_request(theirs.recv(1 << 20)).seconds == protocol.ENDLESS


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
    signals = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
    blocked = f"SigBlk:\t{0:016x}\nSigIgn:\t{0:016x}\n"
    with started(plan(), "sh", "-c", f"{signals}; echo command; exit 5") as process:
        assert process.communicate(timeout=20)[0] == f"{blocked}command\n"
    assert process.returncode == 5
    with started("/nonexistent", "no-such-program") as process:
        assert "no-such-program: command not found" in process.communicate(timeout=20)[1]
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
