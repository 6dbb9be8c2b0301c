"""A program that does not outlive this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from esker.host.memory_file import memory_file
from esker.host.tied import Tied

SH = "/bin/sh"


@pytest.fixture
def output():
    """Give the descriptor of a file in memory for what programs print."""
    descriptor = memory_file("")
    yield descriptor
    os.close(descriptor)


def said(descriptor):
    """What was printed into a file."""
    return os.pread(descriptor, 9999, 0).decode()


def test_a_program_runs_to_its_end(output):
    """It has its arguments, its variables and its outputs; its status is told, and nothing is left open here."""
    before = os.listdir("/proc/self/fd")
    with Tied(
        lambda _: [SH, "-c", 'echo "$0 $A"; echo err >&2; exit 3', "name"], env={"A": "1"}, output=output, kept=[]
    ) as it:
        assert it.wait() == 3
    assert (it.returncode, it.poll()) == (3, 3)
    assert said(output) == "name 1\nerr\n"
    assert os.listdir("/proc/self/fd") == before


def test_it_has_the_kept_descriptors_alone(output):
    """Neither ours nor those that our caller has left open for programs; ours are closed to later programs again."""
    kept, other = memory_file("kept", lowest=100), os.dup(output)
    os.set_inheritable(other, True)
    script = f"cat /proc/self/fd/{kept}; [ -e /proc/self/fd/{other} ] || echo -closed"
    Tied(lambda _: [SH, "-c", script], env=dict(os.environ), output=output, kept=[kept]).wait()
    assert said(output) == "kept-closed\n"
    assert os.get_inheritable(other)
    assert not os.get_inheritable(kept)
    for descriptor in (kept, other):
        os.close(descriptor)


def test_a_descriptor_above_the_limit_on_open_files_does_not_matter():
    """A caller may have lowered the limit since it opened the file."""
    script = (
        "import os, resource\n"
        "from esker.host.tied import Tied\n"
        "os.dup2(1, 200)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "Tied(lambda _: ['/bin/sh', '-c', 'echo ran'], env={}, output=1, kept=[]).wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout == b"ran\n"


def test_it_is_told_that_it_is_tied(output):
    """It can wait for a byte, which comes once the kernel would send the signal."""
    argv = lambda tied: [shutil.which("bash"), "-c", f"read -r -N 1 -u {tied} word; echo got $word"]  # noqa: E731
    assert Tied(argv, env={}, output=output, kept=[]).wait() == 0
    assert said(output) == "got .\n"


def test_it_is_signalled(output):
    """A signal is told as its negative number; a wait may end before the program does."""
    it = Tied(lambda _: [SH, "-c", "sleep 100"], env=dict(os.environ), output=output, kept=[], own_group=True)
    assert os.getpgid(it.pid) == it.pid
    with pytest.raises(subprocess.TimeoutExpired):
        it.wait(0.02)
    it.terminate()
    assert it.wait(10) == -signal.SIGTERM
    it.kill()  # nobody is there any more
    Tied(lambda _: [SH, "-c", "kill -PIPE $$"], env={}, output=output, kept=[]).wait()


def test_it_ends_by_a_signal_that_python_ignores(output):
    """As it would under a shell."""
    assert Tied(lambda _: [SH, "-c", "kill -PIPE $$"], env={}, output=output, kept=[]).wait() == -signal.SIGPIPE


def test_what_does_not_start_is_an_error(output):
    """And leaves nothing open."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Tied(lambda _: ["/no/such/program"], env={}, output=output, kept=[])
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems send no signal at the end of a parent")
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_it_does_not_outlive_this_process(end):
    """However that ends, the program gets SIGTERM."""
    script = "trap 'kill $!; echo ended; exit' TERM; sleep 100 & echo on; wait"
    code = (
        "import os, sys\nfrom esker.host.tied import Tied\n"
        f'Tied(lambda _: ["/bin/sh", "-c", sys.argv[1]], env=dict(os.environ), output=1, kept=[])\nsys.stdin.read(1)\n{end}\n'
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([sys.executable, "-c", code, script], text=True, **pipes) as process:
        assert process.stdout.readline() == "on\n"
        process.stdin.write("x")
        process.stdin.close()
        assert process.stdout.readline() == "ended\n"
