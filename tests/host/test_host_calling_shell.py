from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from esker.host.calling_shell import calling_shell, program_of

ASK = f"{sys.executable} -c 'from esker.host.calling_shell import calling_shell; print(calling_shell())'"
SCRIPT = f"""
f() {{ command {ASK}; }}
echo "$$ $({ASK}) $(f) $(cd / && f) $(x=$(f); echo "$x") $(f | cat)"
"""


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_every_substitution_belongs_to_its_shell(shell):
    """By a command, a function, a list, within another one, and in a pipe: always the shell whose `$$` it is."""
    done = subprocess.run([shell, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    assert found == found[:1] * 6


@pytest.mark.slow
def test_a_shell_in_a_shell_is_another(tmp_path):
    """Although both run the same program with the same arguments."""
    script = tmp_path / "script"
    script.write_text(f'echo "$$ $({ASK})"\n[ -n "$1" ] || exec env A=1 bash {script} again\n')
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=True)
    inner = subprocess.run(["bash", "-c", f'bash "{script}"; :'], capture_output=True, text=True, check=True)
    for line in (done.stdout + inner.stdout).splitlines():
        shell, found = line.split()
        assert found == shell


def test_without_a_shell_it_is_the_parent():
    """A program that starts Esker gets what Esker prints."""
    ask = "from esker.host.calling_shell import calling_shell; print(calling_shell())"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert int(done.stdout) == os.getpid()


@pytest.mark.slow
def test_a_shell_that_has_ended_is_nobody(tmp_path):
    """Whoever adopts the process that it has left behind will evaluate nothing."""
    go, told = tmp_path / "go", tmp_path / "told"
    os.mkfifo(go)
    os.mkfifo(told)
    ask = (
        "import os, sys; from esker.host.calling_shell import calling_shell; open(sys.argv[1]).read(); "
        "open(sys.argv[2], 'w').write(f'{calling_shell()} {os.getpid()}')"
    )
    script = '"$0" -c "$1" "$2" "$3" & exit'
    subprocess.run(["sh", "-c", script, sys.executable, ask, go, told], start_new_session=True, check=True)
    go.write_text("")
    found, own = told.read_text().split()
    assert found == own


BELOW_ROOT = """
import os, subprocess, sys
from esker.host.calling_shell import calling_shell
if os.fork() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)  # as of `su`, `sudo` and the server of ssh, whose user may not inspect them
    print(calling_shell(), os.getpid(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_below_a_process_of_another_user_it_is_the_caller_itself():
    """Neither that process nor one further up is the user's shell: from there the search once climbed to process 1."""
    done = subprocess.run([sys.executable, "-c", BELOW_ROOT], capture_output=True, text=True, check=True)
    found, own = done.stdout.split()
    assert found == own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes such a namespace")
@pytest.mark.parametrize(("first", "is_shell"), [("bash", True), ("init", False)])
def test_process_1_counts_when_it_is_a_shell(first, is_shell, tmp_path):
    """In a container the shell may be process 1; an init, which takes in every orphan, is nobody's shell."""
    program = tmp_path / first
    program.symlink_to("/bin/bash")
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", program, "-c", f'x=$({ASK}); echo "$x"']
    done = subprocess.run(namespace, capture_output=True, text=True, check=True)
    assert (done.stdout == "1\n") is is_shell


def test_without_a_process_table_it_is_the_parent(monkeypatch):
    """As on macOS."""
    import builtins

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(builtins, "open", refuse)
    assert calling_shell() == os.getppid()


def test_the_program_of_a_process():
    """It is the file that the process runs, also if an upgrade has removed it; nothing where there is no such process."""
    assert program_of(os.getpid()) == os.path.realpath(sys.executable)
    assert program_of(2**22 + 1) is None
    with tempfile.TemporaryDirectory() as directory:
        path = shutil.copy("/bin/sleep", f"{directory}/zsh")
        with subprocess.Popen([path, "60"]) as process:
            os.unlink(path)
            assert program_of(process.pid) == path
            process.kill()
