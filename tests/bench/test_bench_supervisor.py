"""The figure of the supervisor: how memory, CPU and logs are read, and that what is left is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench import supervisor
from bench.measure import Sample
from bench.report import Line, as_text
from bench.supervisor import cpu_time, declare, idle_services, left, log_data, log_files, memory, require_whole, summary
from bench.workspace import workspace
from esker.declare.load import load
from esker.host import process_id, process_table
from esker.services.supervised.logs import ROTATION
from esker.services.supervised.supervisor_record import SupervisorRecord
from tests.support.service_logs import log_file


def record(pid=None, token="token", socket="/nowhere/e.sock"):
    """What a lock says when one process is guardian and supervisor."""
    process = process_id.of(pid or os.getpid())
    return SupervisorRecord(
        token=token, dot_flox="/", socket=socket, host="", boot="", uid=0, guardian=process, supervisor=process
    )


class TestReading:
    """Memory and CPU time are the kernel's."""

    def test_memory(self):
        """What two processes share is counted once; the upper bound is not below that, whoever else runs Python."""
        code = "import os, sys; block = b'x' * 20_000_000; print(os.fork() or '', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            child = next(int(line) for line in process.stdout if line.strip())
            found = memory(replace(record(process.pid), guardian=(child, 0)))
            process.stdin.close()
        assert 19 < found.pss <= found.bound < 40

    def test_cpu_time(self):
        """Work of the process and work of a child that has ended are told apart."""
        own, checks = cpu_time(record())
        subprocess.run(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"], check=True)
        after_child, of_child = cpu_time(record())
        assert of_child - checks > after_child - own
        sum(range(1_000_000))
        assert cpu_time(record())[0] > after_child


class TestLeft:
    """A supervisor that has ended has left nothing, or it is named."""

    def test_a_process_and_a_socket(self, tmp_path):
        """A process that carries the token is left until it has ended; so is a socket."""
        socket = tmp_path / "e.sock"
        socket.touch()
        token = str(tmp_path)  # of this run alone: several may run on one machine
        ended = subprocess.Popen(["true"])
        process = subprocess.Popen(["sleep", "1000"], env={**os.environ, "ESKER_SUPERVISOR": token})
        gone = record(ended.pid, token, str(socket))
        ended.wait()
        try:
            assert left(gone) == [f"{process.pid} (sleep)", str(socket)]
        finally:
            process.kill()
            process.wait()
        socket.unlink()
        assert left(gone) == []

    def test_a_supervisor_that_runs(self):
        """The supervisor itself is left for as long as it runs."""
        assert left(record()) == [f"{os.getpid()} ({process_table.entry(os.getpid()).program})"]


class TestLogs:
    """Nothing lost means every byte, by count and checksum."""

    @pytest.mark.slow
    def test_what_is_written_is_kept_whole(self, tmp_path):
        """The log begins anew once, so that its two files hold all."""
        data = log_data()
        assert ROTATION < len(data) < 2 * ROTATION
        log = log_file(str(tmp_path / "a.log"))
        for start in range(0, len(data), 1 << 16):
            log.write(data[start : start + (1 << 16)])
        log.close()
        assert len(os.listdir(tmp_path)) == 2
        require_whole("a", summary(log_files(tmp_path / "a.log")), summary([data]))

    def test_a_lost_line_is_noticed(self):
        """A log with one line less, or with two that changed places, is not whole."""
        for found in (b"a\nc\n", b"b\na\nc\n"):
            with pytest.raises(RuntimeError, match="the log of `web` is not whole"):
                require_whole("web", summary([found]), summary([b"a\nb\n", b"c\n"]))


@pytest.mark.slow
def test_the_idle_services_are_declared_as_the_figure_says(tmp_path):
    """Ten services, half with a tcp and half with an exec check, each at ten seconds."""
    with workspace() as space:
        declared = load(str(declare(space, "idle", idle_services()))).esker.services
    checks = [table.healthcheck for table in declared.values()]
    assert [check.interval for check in checks] == [10.0] * 10
    assert sum(check.tcp is not None for check in checks) == 5
    assert sum(check.test is not None for check in checks) == 5


@pytest.mark.alone
@pytest.mark.live("bench")
@pytest.mark.slow
def test_the_figure():
    """Everything is measured and met on the way; two seconds stand for the sixty."""
    figure = supervisor.figure(7, seconds=2)
    assert [line.unit for line in figure.lines] == ["MB"] * 3 + ["%"] * 2 + ["ms"] * 2 + ["MB/s"] * 2 + ["x"]
    assert "CPU over 2 s" in as_text(figure)


class TestCommand:
    """`python -m bench supervisor --seconds SECONDS`."""

    def test_seconds(self, monkeypatch, capsys):
        """The seconds are the figure's; a line of one value says so."""
        asked = []

        def take(count, seconds=60):
            asked.append((count, seconds))
            line = Line("CPU", "%", Sample((0.0625,)), aim=0.2)
            machine = SimpleNamespace(cpu="", cores=2, kernel="", python="", uv="")
            return SimpleNamespace(
                name="",
                title="",
                machine=machine,
                load=0,
                others=None,
                valid=True,
                lines=(line, line),
                notes=("One.", "Two."),
            )

        monkeypatch.setattr(supervisor, "figure", take)
        command.main(["supervisor", "--seconds", "2"])
        command.main(["supervisor"])
        assert asked == [(11, 2.0), (11, 60)]
        said = capsys.readouterr().out
        assert "CPU    0.062 %   one value         0.2 %: met\n" in said
        assert said.endswith("\n\nOne.\nTwo.\n")

    def test_seconds_of_another_figure(self, capsys):
        """Only this figure has a span."""
        with pytest.raises(SystemExit, match="2"):
            command.main(["services", "--seconds", "2"])
        assert "`--seconds` is only for `supervisor`" in capsys.readouterr().err
