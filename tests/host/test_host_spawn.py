from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from esker.host import accounts, process_table
from esker.host.process_id import ProcessId
from esker.host.spawn import Identity, Program, SpawnRefused, spawn

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def run(command, *, directory="/", variables=None, identity=None):
    """Run `command` and return its exit status and output."""
    reading, writing = os.pipe()
    try:
        pid = spawn(Program(tuple(command), variables or {"PATH": os.environ["PATH"]}, directory, identity), writing)
    except SpawnRefused:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with open(reading) as output:
        said = output.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_a_program_runs_in_its_own_session_with_exactly_its_variables():
    """It leads a session, reads nothing, and has the variables and directory it was given."""
    status, said = run(
        ["sh", "-c", "read line; env; pwd; ps -o sid= -p $$; echo $$"],
        directory="/usr",
        variables={"A": "b c", "PATH": os.environ["PATH"]},
    )
    lines = said.split("\n")
    assert status == 0
    assert "A=b c" in lines
    assert "/usr" in lines
    assert not [line for line in lines if line.startswith(("HOME=", "VIRTUAL_ENV="))]


@linux
def test_signals_are_as_a_program_expects_them():
    """Nothing is blocked, and nothing is ignored: not what Python ignores, not what its parent handles."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        _, said = run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert {int(line.split()[1], 16) for line in said.splitlines()} == {0}


def test_failures_say_at_which_step():
    """A missing program, one that may not run, and a missing directory are told apart, and no child is left."""
    children = {entry.pid for entry in process_table.entries() if entry.parent == os.getpid()}  # of other tests
    for command, directory, said in (
        (["no-such-program"], "/", "cannot run `no-such-program`: no such file or directory"),
        (["/etc/passwd"], "/", "cannot run `/etc/passwd`: permission denied"),
        (["true"], "/no/such", "cannot enter `/no/such`: no such file or directory"),
    ):
        with pytest.raises(SpawnRefused, match=said.replace("/", "[/]")):
            run(command, directory=directory)
    assert {entry.pid for entry in process_table.entries() if entry.parent == os.getpid()} <= children


@linux
def test_a_program_ends_with_its_parent():
    """Kill -9 of the parent ends the program too, and no other signal is asked for."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        pid = spawn(Program(("sleep", "1000"), os.environ, "/"), 2)
        os.write(writing, f"{pid} {process_table.entry(pid).start}".encode())
        signal.pause()
    os.close(writing)
    pid, start = map(int, os.read(reading, 100).split())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(reading, 1) == b""  # the program's copy is closed on exec; this waits for the parent's
    descriptor = os.pidfd_open(pid) if ProcessId(pid, start).lives else None
    if descriptor is not None:
        from esker.host import pidfd

        assert pidfd.wait(descriptor, 10)
        os.close(descriptor)
    os.close(reading)


@root
def test_another_identity_has_no_groups_and_gains_no_privileges():
    """As another user: that uid and gid alone, no_new_privs, the death signal still set, output still writable."""
    status, said = run(
        ["sh", "-c", "id -u; id -G; grep NoNewPrivs /proc/self/status; cat /etc/shadow"],
        identity=Identity(65534, 65534),
    )
    assert status != 0
    assert said.split("\n")[:3] == ["65534", "65534", "NoNewPrivs:\t1"]
    assert "Permission denied" in said


@root
@linux
def test_a_namespace_shows_another_uid_but_keeps_the_rights():
    """In the user namespace a program sees a non-root uid, and files it makes are root's outside."""
    _, said = run(["sh", "-c", "id -u; id -g; head -c 4 /etc/shadow"], identity=Identity(65534, 65534, namespace=True))
    assert said == "65534\n65534\nroot"


@root
@linux
def test_another_identity_ends_with_its_parent():
    """The kernel forgets the death signal when the user changes; it is set again after that."""
    reading, writing = os.pipe()
    code = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    program = Program(("/usr/bin/python3", "-I", "-c", code), {"PATH": "/usr/bin"}, "/", Identity(65534, 65534))
    pid = spawn(program, writing)
    os.close(writing)
    with open(reading) as output:
        assert output.read() == "9\n"
    os.waitpid(pid, 0)


@pytest.fixture
def open_path():
    """A directory that every user can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


@root
def test_what_another_user_can_enter_is_asked_of_the_kernel(open_path):
    """A path below a closed directory is unreachable for another uid, whatever its own mode."""
    closed = open_path / "closed"
    inside = closed / "inside"
    inside.mkdir(parents=True)
    closed.chmod(0o700)
    nobody = Identity(65534, 65534)
    assert accounts.unreachable(nobody, ["/usr", str(inside)]) == str(inside)
    assert accounts.unreachable(nobody, ["/usr"]) is None
    shown = nobody._replace(namespace=True)
    assert accounts.unreachable(shown, [str(inside)]) is None
    os.chown(closed, 4242, 4242)
    assert accounts.unreachable(shown, [str(inside)]) == str(inside)


@root
def test_a_given_directory_lets_its_user_add_files_but_not_touch_others(open_path):
    """The user may make files of its own in root's directory, and cannot remove or rename root's."""
    cache = open_path / "cache"
    cache.mkdir(mode=0o700)
    (cache / "root's").write_text("")
    nobody = Identity(65534, 65534)
    accounts.give_directory(str(cache), nobody)
    accounts.give_directory(str(cache), nobody)
    status, _ = run(
        ["sh", "-c", 'mkdir data && ! rm -f "root\'s" && ! mv "root\'s" x'], directory=str(cache), identity=nobody
    )
    assert status == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o1771
    accounts.give_directory(str(cache), Identity(1, 1))
    assert stat.S_IMODE(cache.stat().st_mode) == 0o1777


@root
def test_a_directory_of_another_user_is_left_alone(tmp_path):
    """An existing directory keeps the uid that owns it."""
    os.chown(tmp_path, 4242, 4242)
    before = tmp_path.stat()
    accounts.give_directory(str(tmp_path), Identity(65534, 65534))
    assert tmp_path.stat() == before


@root
@pytest.mark.parametrize("above", [False, True])
def test_what_a_link_leads_to_is_not_given(tmp_path, above):
    """Whoever owns the directory above may put a link there: what is root's elsewhere stays closed."""
    roots = tmp_path / "roots"
    (roots / "cache").mkdir(parents=True)
    (roots / "cache").chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(roots if above else roots / "cache")
    accounts.give_directory(str(link / "cache") if above else str(link), Identity(65534, 65534))
    found = (roots / "cache").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0o755)


def test_accounts_without_a_name():
    """A uid without an entry is its own group; an unknown name is nobody."""
    assert accounts.account(4242424) == accounts.Account(4242424, 4242424, "4242424", "/")
    assert accounts.find_account("4242424").uid == 4242424
    assert accounts.find_account("no such user") is None
    assert accounts.find_account("root").uid == 0
