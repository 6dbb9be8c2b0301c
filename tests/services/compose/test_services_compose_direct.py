"""The logs of containers, as a command reads them from an engine whose answers are given."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from esker.services.compose import direct
from esker.services.compose.container import read_started, write_started
from esker.services.compose.direct import Containers, _Stream
from esker.services.status import ServiceStatus
from tests.support.containers.absent import write_docker
from tests.support.projects import write_project

MOMENTS = [f"2026-11-30T00:00:00.{number:09}Z" for number in range(5)]


@pytest.fixture
def containers(tmp_path):
    """Give a function that returns containers of an engine which has one, and answers the rest with this and a status."""

    def make(out, err, status=0):
        (tmp_path / "out").write_bytes(out)
        (tmp_path / "err").write_bytes(err)
        answer = (
            f"[ $1 = ps ] && echo abc && exit\n/bin/cat {tmp_path}/out\n/bin/cat {tmp_path}/err >&2\nexit {status}\n"
        )
        variables = {"PATH": write_docker(tmp_path / "bin", answer)}
        project = SimpleNamespace(name="shop", variables=variables, directory=str(tmp_path), services={"db": None})
        return Containers(project, str(tmp_path))

    return make


def test_the_two_outputs_of_a_container_are_one_log(containers):
    """In the order of their moments; only a line feed ends a line, so what progress has overwritten stays with it."""
    out = f"{MOMENTS[0]} one\n{MOMENTS[2]} 10%\r20%\r100%\n{MOMENTS[3]} a\u2028b\x0cc\n"
    err = f"{MOMENTS[1]} two\n"
    found = containers(out.encode(), err.encode()).lines("db", None)
    assert found == ["one", "two", "10%\r20%\r100%", "a\u2028b\x0cc"]


@pytest.mark.parametrize(
    ("out", "err", "told"),
    [
        (b"[]\n", b"Error: No such container: abc\n", {}),
        (b"\n", b"permission denied\n", {"db": "nobody can look at the containers: the container engine refuses"}),
        (b"{", b"no such thing", {"db": "nobody can look at the containers: `docker inspect` answered"}),
    ],
)
def test_a_container_that_is_removed_while_it_is_looked_at(containers, out, err, told):
    """It does not run any more; whatever else the engine says leaves the status unknown."""
    found = containers(out, err, 1).found({"db": ServiceStatus(name="db")})
    assert found.keys() == told.keys()
    assert all(found[name].note.startswith(words) for name, words in told.items())


def test_a_followed_log_loses_no_line_that_comes_late(tmp_path):
    """Two outputs are not always in the order of their moments; after a new run, only what came before is left out."""
    runs = [(0, 2, 1), (1, 2, 3)]
    begun = []

    def begin(*options):
        begun.append(options)
        if len(begun) > len(runs):
            return None
        path = tmp_path / f"run-{len(begun)}"
        path.write_text("".join(f"{MOMENTS[number]} line {number}\n" for number in runs[len(begun) - 1]))
        return subprocess.Popen(["/bin/cat", path], stdout=subprocess.PIPE)

    stream = _Stream(begin, None)
    lines = []
    while len(begun) <= len(runs):
        lines += stream.lines()
        stream._next = 0.0
    stream.close()
    assert lines == ["line 0", "line 2", "line 1", "line 3"]
    assert begun[1:] == [("--since", MOMENTS[2]), ("--since", MOMENTS[3])]


@pytest.mark.slow
def test_a_container_that_was_left_over_has_its_grace(tmp_path, monkeypatch):
    """The engine is not blamed for the time that the Compose file gives a container to end."""
    monkeypatch.setattr(direct, "_SECONDS", 0.2)
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "db"}
    inspected = {
        "Id": "abc",
        "Name": "/shop-db-1",
        "Config": {"Labels": labels, "StopTimeout": 120},
        "State": {"Status": "running", "ExitCode": 0},
    }
    (tmp_path / "inspected").write_text(json.dumps([inspected]))
    script = f"case $1 in ps) echo abc ;; inspect) /bin/cat {tmp_path}/inspected ;; stop) exec /bin/sleep 0.5 ;; esac\n"
    variables = {"PATH": write_docker(tmp_path / "bin", script)}
    directory = write_project(tmp_path / "shop")
    files = (f"{directory}/compose.yaml",)
    project = SimpleNamespace(
        name="shop", variables=variables, directory=str(directory), services={"db": None}, files=files
    )
    write_started(f"{directory}/.flox", {"db": "abc"})
    assert Containers(project, f"{directory}/.flox").stop_left_over((), force=False) == ("db",)
    assert read_started(f"{directory}/.flox") == {}
