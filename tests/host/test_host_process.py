from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from esker.errors import CommandFailed, HostError, TimedOut
from esker.host import pidfd, process
from esker.host.process import execute, find_program, run

PATH = os.environ["PATH"]
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["esker"].__file__)))


@pytest.fixture
def executing(tmp_path):
    """Execute in a process of its own, which says what it caught when it was not replaced."""

    def executed(argv, environ=None, **settings):
        script = (
            "import sys\nfrom esker.errors import CommandFailed\nfrom esker.host.process import execute\n"
            f"try:\n    execute({argv!r}, {environ or {'PATH': PATH}!r})\n"
            "except CommandFailed as error:\n    print(error)\n    sys.exit(error.exit_status)\n"
        )
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path, **settings
        )

    return executed


def file(path, text, mode=0o755):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_the_program_takes_the_place_of_the_process(executing):
    """It has the environment it was given and nothing else, and its status is the status."""
    done = executing(["sh", "-c", "echo $A; exit 7"], {"PATH": PATH, "A": "a\nb  c"})
    assert (done.returncode, done.stdout) == (7, "a b c\n")


def test_a_signal_is_what_ends_it(executing):
    """What a signal does to the program is seen by whoever waits."""
    assert executing(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM


def test_broken_pipes_end_programs_again(executing):
    """Python ignores SIGPIPE; a program that it becomes does not."""
    done = executing(["sh", "-c", "grep SigIgn /proc/self/status"])
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & 1 << (signal.SIGPIPE - 1)
    assert not ignored & 1 << (signal.SIGXFSZ - 1)


def test_bytes_that_are_not_text_arrive(executing):
    """Surrogates become the bytes that they stand for."""
    done = executing(["sh", "-c", 'printf %s "$A" | od -An -tx1'], {"PATH": PATH, "A": "\udcff"})
    assert done.stdout.split() == ["ff"]


def test_a_script_without_a_first_line_goes_to_sh(executing, tmp_path):
    """As every shell does it."""
    done = executing([file(tmp_path / "script", 'echo "$0 $1"\n'), "a b"])
    assert done.stdout == f"{tmp_path}/script a b\n"


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("no-such-program", 127, "no-such-program: command not found\n"),
        ("./no-such-file", 127, "./no-such-file: no such file or directory\n"),
        (
            "./no-interpreter",
            127,
            "./no-interpreter: the program that runs it (its `#!` line or loader) was not found\n",
        ),
        ("./directory", 126, "./directory: is a directory\n"),
        ("./plain", 126, "./plain: permission denied\n"),
    ],
)
def test_what_cannot_be_executed_is_refused_as_a_shell_does(executing, tmp_path, name, status, message):
    """127 for what is not there, 126 for what will not start, and the reason."""
    file(tmp_path / "no-interpreter", "#!/no/such/shell\n")
    file(tmp_path / "plain", "echo no\n", 0o644)
    (tmp_path / "directory").mkdir()
    done = executing([name])
    assert (done.returncode, done.stdout) == (status, message)


def test_programs_are_found_as_a_shell_finds_them(tmp_path, monkeypatch):
    """The first executable file counts; directories and plain files do not; an empty element is the directory here."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "tool").mkdir(parents=True)
    second.mkdir()
    tool = file(second / "tool", "")
    assert find_program("tool", f"{first}:{second}") == tool
    monkeypatch.chdir(second)
    assert find_program("tool", f"{first}::{second}") == "./tool"
    assert find_program("tool", str(first)) is None
    assert find_program("./anything", "") == "./anything"
    assert find_program("sh", None) is not None


def test_output_is_captured_as_text():
    """Bytes that are not UTF-8 become surrogates; the input is what was given."""
    done = run(["sh", "-c", r"cat; printf '\377' >&2"], environ={"PATH": PATH}, stdin="é")
    assert (done.returncode, done.stdout, done.stderr) == (0, "é", "\udcff")


def test_without_capture_output_passes(capfd):
    """The program writes where this process does."""
    assert run(["echo", "a"], environ={"PATH": PATH}, capture=False).stdout == ""
    assert capfd.readouterr().out == "a\n"


def test_a_failure_says_what_the_program_said_last():
    """The status and the last line of its complaint, without credentials."""
    script = "echo first >&2; echo 'cannot reach https://u:secret@packages.example.org/' >&2; exit 3"
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", script], environ={"PATH": PATH})
    assert caught.value.status == 3
    assert caught.value.message.startswith("`sh` ended with status 3: cannot reach https://")
    assert "secret" not in caught.value.output
    assert run(["sh", "-c", script], environ={"PATH": PATH}, check=False).returncode == 3


def test_what_is_cut_off_holds_no_credentials():
    """Of a long complaint the end is kept, which may begin within an address."""
    script = "printf 'https://u:secret@packages.example.org/%02000d' 0 >&2; exit 3"
    for end in range(1990, 1960, -1):
        with pytest.raises(CommandFailed) as caught:
            run(["sh", "-c", script.replace("02000", f"0{end}")], environ={"PATH": PATH})
        assert "cret" not in caught.value.output


def test_a_death_by_signal_is_named():
    """The status is a shell's: 128 and the number."""
    with pytest.raises(CommandFailed, match="was ended by SIGKILL") as caught:
        run(["sh", "-c", "kill -9 $$"], environ={"PATH": PATH})
    assert caught.value.status == 137


def test_what_cannot_be_run_is_named(tmp_path):
    """A program that is not there, one that is not executable, and a directory that is not there."""
    with pytest.raises(CommandFailed, match="no-such-program: command not found"):
        run(["no-such-program"], environ={"PATH": PATH})
    with pytest.raises(CommandFailed, match="permission denied"):
        run([file(tmp_path / "plain", "", 0o644)], environ={"PATH": PATH})
    with pytest.raises(HostError, match="no such directory"):
        run(["true"], environ={"PATH": PATH}, cwd=str(tmp_path / "missing"))


def test_a_program_that_is_not_there_is_not_executed():
    """The refusal is an error of this process, which goes on."""
    with pytest.raises(CommandFailed) as caught:
        execute(["no-such-program"], {"PATH": "/nowhere"})
    assert (caught.value.status, caught.value.exit_status) == (127, 127)


@pytest.mark.slow
def test_a_timeout_kills_the_whole_group(tmp_path):
    """The children of the program are gone too, and pipes that they hold do not keep the caller waiting."""
    os.mkfifo(tmp_path / "alive")
    watched = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TimedOut, match=r"`sh` did not end within 0.2 s"):
        run(["sh", "-c", f"sleep 600 3>{tmp_path}/alive & wait"], environ={"PATH": PATH}, timeout=0.2)
    os.set_blocking(watched, True)
    assert os.read(watched, 1) == b""  # the last one that held the other end is gone
    os.close(watched)


def test_what_a_program_has_started_ends_with_an_interruption(tmp_path, monkeypatch):
    """Also where only this process was interrupted, and the program does not end by itself."""

    def interrupt(*_):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("\n"):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_communicate", interrupt)
    script = f"trap '' TERM; sleep 300 & echo $! >{tmp_path}/pid; wait; wait"
    with pytest.raises(KeyboardInterrupt):
        run(["bash", "-c", script], environ=dict(os.environ))
    with pidfd.opened(int((tmp_path / "pid").read_text())) as started:
        assert started is None or pidfd.wait(started, 10)
