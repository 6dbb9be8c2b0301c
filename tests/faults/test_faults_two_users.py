"""What another user of the machine can do to somebody who works with Esker: real commands of two users, with umask 000."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from esker.host import runtime_directory
from tests.faults import two_users

pytestmark = [
    pytest.mark.live("faults"),
    pytest.mark.slow,
    pytest.mark.skipif(bool(two_users.reason_for_none()), reason=str(two_users.reason_for_none())),
]

MANIFEST = """
schema-version = "1.14.0"
[hook]
on-activate = "export SECRET=hidden"
[services.web]
command = "echo hello; exec sleep 1000"
[plugins.esker.services.web]
ports = { WEB = 0 }
"""
NEEDS_PACKAGE = """
schema-version = "1.14.0"
[plugins.esker.python]
dependencies = ["app"]
"""
EVIL = """
schema-version = "1.14.0"
[vars]
A = "$(touch CANARY)"
[hook]
on-activate = "touch CANARY"
[profile]
common = "touch CANARY"
[services.web]
command = "touch CANARY; exec sleep 1000"
"""
ANSWERS = """
import socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.settimeout(10)
try:
    asked.connect(sys.argv[1])
except PermissionError:
    sys.exit("denied")
print(asked.recv(1 << 16))
"""
MAY_READ = {".gitattributes", ".gitignore", "env.json", "manifest.toml", "manifest.lock", "telemetry_id"}
"""The files of a project that are there to be shared; everything else is for its owner alone."""
TAKES_NAME = ("open directory", "directory", "link to a directory", "link to the victim's own", "link to nothing")
TAKES_NAME = (*TAKES_NAME, "file", "pipe")


@pytest.fixture(scope="module")
def machine():
    """Give the two users; the victim has a project whose service runs."""
    with two_users.machine() as made:
        project = made.victim.project("project", MANIFEST)
        done = made.victim.esker("services", "start", cwd=project)
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="module")
def project(machine):
    """Give the victim's project."""
    return machine.victim.home / "project"


@pytest.fixture(scope="module")
def evil(machine):
    """Give a project of the stranger, all of whose code makes a file; the file must never be there."""
    canary = machine.top / "canary"
    directory = machine.stranger.project("evil", EVIL.replace("CANARY", str(canary)))
    yield directory
    assert not canary.exists()


@pytest.fixture
def newcomer(machine):
    """Give a user who has nothing but a project yet."""
    machine.newcomer.begin_anew()
    machine.newcomer.project("project", MANIFEST)
    return machine.newcomer


def service(machine, project):
    """Return the victim's service as `services status` shows it."""
    done = machine.victim.esker("services", "status", "--json", cwd=project)
    (one,) = json.loads(done.stdout)
    return one


def take(name, kind, machine):
    """Make something at a path as the stranger would, and return the directory that a link there leads to."""
    theirs = made_by(machine.newcomer if kind == "link to the victim's own" else machine.stranger)
    match kind:
        case "open directory" | "directory":
            name.mkdir()
            name.chmod(0o777 if kind == "open directory" else 0o700)
            theirs = name
        case "link to a directory" | "link to the victim's own":
            name.symlink_to(theirs)
        case "link to nothing":
            name.symlink_to(theirs / "nothing")
        case "file":
            name.touch(0o666)
        case _:
            os.mkfifo(name)
    machine.stranger.owns(name)
    return theirs


def made_by(user):
    """Return a new directory of a user, where everybody may write if it is the stranger's."""
    directory = Path(tempfile.mkdtemp(dir=user.home))
    user.owns(directory)
    directory.chmod(0o777 if user.home.name == "bob" else 0o700)
    return directory


@pytest.mark.parametrize("kind", TAKES_NAME)
def test_a_runtime_directory_that_a_stranger_prepared_is_not_used(machine, newcomer, kind):
    """Activation and services refuse it, and write nothing there; with the directory of the hint they work."""
    theirs, project = take(newcomer.runtime, kind, machine), newcomer.home / "project"
    for arguments in (("activate", "--", "true"), ("services", "start")):
        done = newcomer.esker(*arguments, cwd=project)
        assert done.returncode == 1, done.stderr
        assert f"cannot use the runtime directory `{newcomer.runtime}`" in done.stderr
        assert "set XDG_RUNTIME_DIR to a directory of yours with mode 0700" in done.stderr
    own = str(made_by(newcomer))
    done = newcomer.esker("activate", "-s", "--", "printenv", "ESKER_RUNTIME_DIR", cwd=project, XDG_RUNTIME_DIR=own)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{own}/esker/")
    assert list(theirs.iterdir()) == []


def test_a_runtime_directory_of_a_stranger_in_the_variable_is_not_used(machine, project):
    """As after `su` without `-`: the victim's own place is taken instead."""
    theirs = made_by(machine.stranger)
    for mode in (0o777, 0o700):
        theirs.chmod(mode)
        printed = ("activate", "--", "printenv", "ESKER_RUNTIME_DIR")
        done = machine.victim.esker(*printed, cwd=project, XDG_RUNTIME_DIR=str(theirs))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{machine.victim.runtime}/")
        assert list(theirs.iterdir()) == []


@pytest.mark.parametrize("kind", TAKES_NAME)
def test_a_directory_for_temporary_files_that_a_stranger_prepared_is_not_used(machine, newcomer, index, kind):
    """A command that needs one refuses it; with the TMPDIR of the hint it works."""
    index.add("app", "1.0")
    theirs, project = take(newcomer.scratch, kind, machine), newcomer.home / "project"
    (project / ".flox/env/manifest.toml").write_text(NEEDS_PACKAGE)
    done = newcomer.esker("lock", cwd=project, UV_DEFAULT_INDEX=index.url)
    assert done.returncode == 1, done.stderr
    assert f"cannot use `{newcomer.scratch}` for temporary files" in done.stderr
    assert "set TMPDIR to a directory of yours" in done.stderr
    done = newcomer.esker("lock", cwd=project, UV_DEFAULT_INDEX=index.url, TMPDIR=str(made_by(newcomer)))
    assert done.returncode == 0, done.stderr
    assert "app" in (project / ".flox/pylock.toml").read_text()
    assert list(theirs.iterdir()) == []


def test_a_stranger_can_write_to_nothing_of_ours(machine, project):
    """Not in the project, the home, the store or the runtime directory, whatever the umask was."""
    victim = machine.victim
    assert service(machine, project)["status"] == "Running"
    done = machine.stranger.run("find", victim.home, victim.runtime, "!", "-type", "l", "-writable")
    assert done.stdout.split() == [], done.stdout
    assert victim.run("find", project, "-writable").stdout, "find tells"


def test_a_stranger_can_read_only_what_is_there_to_be_shared(machine, project):
    """The declaration and the store paths, but no log, state, record, lock file, plan or variable."""
    victim = machine.victim
    held = machine.victim.esker("activate", "--", "sh", "-c", "ls $0*", str(victim.runtime), cwd=project)
    assert ".activations" in held.stdout, "what the hook exports is in a file while the environment is used"
    listed = machine.stranger.run("find", victim.home, victim.runtime, "-type", "f", "-readable").stdout.split()
    store = f"{victim.home}/.local/share/esker/store/"
    assert {Path(path).name for path in listed if not path.startswith(store)} <= MAY_READ, listed
    hidden = [project / ".flox" / name for name in ("cache/esker/lock", "log/services/web.log")]
    hidden += [project / ".flox/cache/esker" / name for name in ("plan-dev.json", "ports.json", "command")]
    for path in hidden:
        assert path.exists()
        assert "Permission denied" in machine.stranger.run("cat", path).stderr


def test_a_stranger_cannot_reach_the_supervisor(machine, project):
    """Its directory is closed and so is its socket; the variables of services and their processes are the kernel's to keep."""
    victim, stranger = machine.victim, machine.stranger
    (socket,) = victim.runtime.glob("*.sock")
    assert stat.S_IMODE(victim.runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert "denied" in stranger.run(stranger.python, "-c", ANSWERS, socket).stderr
    assert victim.run(stranger.python, "-c", ANSWERS, socket).returncode == 0, "the victim can"
    pid = str(service(machine, project)["pid"])
    assert "Permission denied" in stranger.run("cat", f"/proc/{pid}/environ").stderr
    assert stranger.run("kill", pid).returncode != 0
    assert service(machine, project)["pid"] == int(pid)


def test_a_stranger_s_commands_stop_and_see_nothing_of_our_services(machine, project):
    """Each of them fails or does nothing, also with the runtime directory that the victim uses."""
    before = service(machine, project)
    for variables in ({}, {"XDG_RUNTIME_DIR": str(machine.victim.runtime)}):
        for command in (("stop",), ("status",), ("restart",), ("start",), ("logs", "web"), ("ports",)):
            done = machine.stranger.esker("services", *command, "-d", str(project), **variables)
            assert "Traceback" not in done.stderr
            assert "hello" not in done.stdout
            assert str(before["pid"]) not in done.stdout + done.stderr
    after = service(machine, project)
    assert (after["pid"], after["status"]) == (before["pid"], "Running")


def test_a_stranger_cannot_change_or_look_into_our_store(machine, project):
    """A collection, an activation and a check with the victim's store fail, and leave it as it is."""
    store = machine.victim.home / ".local/share/esker"
    before = sorted(map(str, store.rglob("*")))
    assert any("/gcroots/" in path for path in before)
    own = machine.stranger.project("own", 'schema-version = "1.14.0"\n[vars]\nA = "b"\n')
    for command in (
        ("store", "gc", "--keep", "1"),
        ("store", "verify"),
        ("store", "path-info"),
        ("activate", "--", "true"),
    ):
        done = machine.stranger.esker(*command, cwd=own, ESKER_STORE=str(store))
        assert done.returncode == 1, (command, done.stdout)
        assert "permission denied" in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(map(str, store.rglob("*"))) == before
    done = machine.victim.esker("store", "verify", cwd=project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("whose", ["the stranger's", "open to all", "open to all inside"])
def test_a_store_that_others_can_change_is_refused(machine, project, whose):
    """One that the stranger has filled, or one of ours that has become writable; what the hint says mends the latter."""
    store = machine.top / whose.replace(" ", "-")
    owner = machine.stranger if whose == "the stranger's" else machine.victim
    own = owner.project(whose.replace(" ", "-"), 'schema-version = "1.14.0"\n')
    done = owner.esker("activate", "--", "true", cwd=own, ESKER_STORE=str(store))
    assert done.returncode == 0, done.stderr
    opened = store / "store" if whose.endswith("inside") else store
    for path in (store, *store.rglob("*")) if owner is machine.stranger else (opened,):
        if not path.is_symlink():
            path.chmod(0o777)  # the victim could use it
    fresh = machine.victim.project(f"of-{store.name}", 'schema-version = "1.14.0"\n[vars]\nA = "b"\n')
    before = sorted(map(str, store.rglob("*")))
    done = machine.victim.esker("activate", "--", "true", cwd=fresh, ESKER_STORE=str(store))
    assert done.returncode == 1
    assert f"`{opened}` can be changed by other users" in done.stderr, done.stderr
    assert sorted(map(str, store.rglob("*"))) == before
    if owner is machine.victim:
        assert machine.victim.run("chmod", "go-w", opened).returncode == 0
        done = machine.victim.esker("activate", "--", "true", cwd=fresh, ESKER_STORE=str(store))
        assert done.returncode == 0, done.stderr


RUNS_CODE = (
    ("activate", "--", "true"),
    ("activate", "-s", "--", "true"),
    ("activate", "--mode", "run", "--", "true"),
    ("services", "start"),
    ("services", "restart"),
)


@pytest.mark.parametrize("command", RUNS_CODE, ids=" ".join)
def test_a_stranger_s_project_is_refused_and_its_hook_does_not_run(machine, evil, command):
    """In every command that runs code, from within it and with `-d`, and through a link of the victim's to it."""
    link = machine.victim.home / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(evil)
    name, *rest = command
    first = [name, rest.pop(0)] if name == "services" else [name]
    for arguments, place in ((command, evil), ((*first, "-d", str(evil), *rest), None), (command, link)):
        done = machine.victim.esker(*arguments, cwd=place)
        assert done.returncode == 1, (arguments, done.stderr)
        assert f"belongs to uid {machine.stranger.uid}, who can change the code" in done.stderr
        assert f"esker trust {evil}\ncode: not-trusted" in done.stderr


@pytest.mark.parametrize(
    "command", [("list",), ("activate", "--json"), ("activate",), ("services", "status")], ids=" ".join
)
def test_looking_at_a_stranger_s_project_runs_nothing(machine, evil, command):
    """Nothing is run in the end either by a shell that evaluates what `activate` prints: it prints nothing."""
    done = machine.victim.esker(*command, cwd=evil)
    assert "Traceback" not in done.stderr
    assert "touch" not in done.stdout or command != ("activate",)
    assert not list(evil.glob(".flox/cache")), "and nothing is written"


def test_a_list_of_trusted_projects_that_a_stranger_wrote_is_not_believed(machine, evil):
    """As where the victim's directory for configuration was open to all: their file trusts nothing of theirs."""
    configuration = machine.top / "configuration"
    (configuration / "esker").mkdir(parents=True)
    listed = configuration / "esker/trusted.json"
    entry = {"path": str(evil), "inode": (evil / ".flox").stat().st_ino}
    listed.write_text(json.dumps({"version": 1, "projects": [entry]}))
    machine.stranger.owns(listed)
    variables = {"XDG_CONFIG_HOME": str(configuration)}
    done = machine.victim.esker("activate", "--", "true", cwd=evil, **variables)
    assert (done.returncode, "code: not-trusted" in done.stderr) == (1, True), done.stderr
    os.chown(listed, machine.victim.uid, -1)
    listed.chmod(0o666)
    done = machine.victim.esker("activate", "--", "true", cwd=evil, **variables)
    assert (done.returncode, "others may write to it" in done.stderr) == (1, True), done.stderr


def test_a_project_that_was_trusted_is_no_longer_so_when_another_took_its_place(machine):
    """`trust` lets root run its code; a new directory of the stranger's at the same path is another project."""
    ran = machine.top / "ran"
    root = two_users.User(0, machine.top / "root-of-trusted", machine.victim.python)
    root.home.mkdir(0o700)
    theirs = machine.stranger.project(
        "offered", f'schema-version = "1.14.0"\n[hook]\non-activate = "echo x >> {ran}"\n'
    )
    assert root.esker("trust", str(theirs)).returncode == 0
    done = root.esker("activate", "-d", str(theirs), "--", "true")
    assert done.returncode == 0, done.stderr
    assert ran.read_text() == "x\n"
    (theirs / ".flox").rename(theirs / ".old")
    shutil.copytree(theirs / ".old", theirs / ".flox", symlinks=True)
    for path in (theirs / ".flox", *(theirs / ".flox").rglob("*")):
        machine.stranger.owns(path)
    done = root.esker("activate", "-d", str(theirs), "--", "true")
    assert (done.returncode, "code: not-trusted" in done.stderr) == (1, True), done.stderr
    assert ran.read_text() == "x\n"


def test_a_command_that_a_stranger_recorded_serves_no_tests(machine):
    """The victim runs pytest in the stranger's project: what `.flox/cache/esker/command` names is not started."""
    canary = machine.top / "served"
    project = machine.stranger.project("tested", 'schema-version = "1.14.0"\n')
    program = machine.stranger.home / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\n")
    program.chmod(0o755)
    record = project / ".flox/cache/esker/command"
    record.parent.mkdir(parents=True)
    record.write_text(f"{shlex.quote(str(program))}\n")
    for path in (record, *record.parents[:2]):
        machine.stranger.owns(path)
    record.chmod(0o600)
    code = "from esker_pytest.command import find_command; print(find_command('.', ''))"
    for user, expected in ((machine.victim, False), (machine.stranger, True)):
        done = user.run(user.python, "-c", code, cwd=project)
        assert done.returncode == 0, done.stderr
        assert (str(program) in done.stdout) == expected, (user.uid, done.stdout)
    test = machine.victim.home / "test_it.py"
    test.write_text("def test_it(esker_environment): pass\n")
    machine.victim.run(machine.victim.python, "-m", "pytest", "--rootdir", project, test, cwd=project)
    assert not canary.exists()


def test_root_s_supervisor_is_out_of_reach_too(machine):
    """Root's runtime directory can be passed through, for services under another uid; the socket is root's alone."""
    project = machine.top / "root"
    project.mkdir()
    root = two_users.User(0, machine.top / "root-home", machine.victim.python)
    root.home.mkdir(0o700)
    try:
        assert root.esker("init", cwd=project).returncode == 0
        (project / ".flox/env/manifest.toml").write_text(MANIFEST)
        done = root.esker("services", "start", cwd=project, ESKER_STORE=str(machine.top / "root-store"))
        assert done.returncode == 0, done.stderr
        above = Path(runtime_directory.user_directory(None))
        socket = above / f"{runtime_directory.directory_name(os.path.realpath(project / '.flox'))}.sock"
        assert stat.S_ISSOCK(socket.stat().st_mode)
        assert "Permission denied" in machine.stranger.run("ls", above).stderr
        assert "denied" in machine.stranger.run(machine.stranger.python, "-c", ANSWERS, socket).stderr
        done = machine.stranger.run("find", project, machine.top / "root-store", "!", "-type", "l", "-writable")
        assert done.stdout == ""
    finally:
        root.esker("services", "stop", cwd=project)


def test_root_runs_nothing_of_a_stranger_s_project(machine, evil):
    """Root is refused as everybody is, and what it is told does not advise to change the owner."""
    root = two_users.User(0, machine.top / "root-of-evil", machine.victim.python)
    root.home.mkdir(0o700)
    for command in RUNS_CODE:
        done = root.esker(*command, cwd=evil)
        assert (done.returncode, "code: not-trusted" in done.stderr) == (1, True), done.stderr
        assert "chown" not in done.stderr
