"""The supervisor record of an environment may have come with the project: what it says moves nothing that is not the project's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from esker.errors import HostError
from esker.host import process_id
from esker.host.process_id import ProcessId
from esker.services.supervised import protocol
from esker.services.supervised.record_lock import record_path
from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord

STRANGER = 12345


def record_of(project, **fields):
    """The record of a supervisor that was killed before the machine was started last."""
    record = SupervisorRecord(
        token="x",
        dot_flox=project.dot_flox,
        socket=project.site.socket,
        host=os.uname().nodename,
        boot="before",
        uid=os.geteuid(),
        guardian=ProcessId(1 << 22, 1),
        supervisor=ProcessId(1 << 22, 1),
    )
    return replace(record, **fields)


def write(project, record):
    """Make the record file say what `record` says."""
    os.makedirs(os.path.dirname(record_path(project.dot_flox)), exist_ok=True)
    named = asdict(record)
    runs = {name: named.pop(name) for name in ("sessions", "stores")}
    Path(record_path(project.dot_flox)).write_text(f"{json.dumps(named)}\n{json.dumps(runs)}\n")


@pytest.fixture
def treasure(tmp_path):
    """A directory and a file beside it, as a record would name them."""
    directory = tmp_path / "home"
    (directory / "letters").mkdir(parents=True)
    (directory / "letters" / "one").write_text("")
    (tmp_path / "home.sock").write_text("")
    return directory


def test_a_lock_that_came_with_the_project_removes_nothing_elsewhere(project, treasure):
    """`services status` in a fresh checkout whose record names a path of ours as its socket leaves that path alone."""
    project.declare("web")
    write(project, record_of(project, socket=f"{treasure}.sock"))
    assert project.services.status()[0].status == "Stopped"
    assert (treasure / "letters" / "one").exists()
    assert Path(f"{treasure}.sock").exists()


def test_a_socket_of_the_right_name_in_another_s_directory_is_not_asked(project, treasure):
    """The name alone does not make a runtime directory: it must be ours, closed to others, and no link."""
    project.declare("web")
    name = os.path.basename(project.site.runtime)
    (treasure.parent / name).symlink_to(treasure)
    (treasure.parent / f"{name}.sock").write_text("")
    for prepare in (lambda: treasure.parent.chmod(0o777), lambda: treasure.parent.chmod(0o755)):
        prepare()
        write(project, record_of(project, socket=f"{treasure.parent}/{name}.sock"))
        assert project.services.status()[0].status == "Stopped"
        assert (treasure / "letters" / "one").exists()


def test_a_copied_checkout_does_not_end_the_services_of_the_original(project, tmp_path):
    """A copy has the record of the original too; it is another environment."""
    project.declare("web")
    directory = tmp_path / "original"
    directory.mkdir()
    write(project, record_of(project, socket=f"{directory}.sock"))
    (directory / "web.sock").write_text("")
    assert project.services.status()[0].status == "Stopped"
    assert (directory / "web.sock").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"socket": 1},
        {"guardian": (1,)},
        {"supervisor": (-1, 1)},
        {"supervisor": (1 << 40, 1)},
        {"uid": "0"},
        {"boot": None},
    ],
)
def test_a_record_of_other_types_is_none(project, wrong):
    """Whatever a record holds, a command goes on without it."""
    project.declare("web")
    write(project, record_of(project, **wrong))
    assert project.record is None
    assert project.services.status()[0].status == "Stopped"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works in what belongs to others")
def test_root_ends_only_what_the_owner_of_the_lock_could_end(project):
    """In another user's project that user writes the record, and root does not kill for anybody."""
    project.declare("web")
    os.chown(project.dot_flox, STRANGER, STRANGER)
    processes = []
    try:
        for uid in (0, STRANGER):
            command = ["sh", "-c", "echo; exec cat"]
            processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=uid, start_new_session=True
                )
            )
            processes[-1].stdout.readline()
        sessions = tuple(process_id.of(found.pid) for found in processes)
        write(project, record_of(project, boot=process_id.boot_id(), sessions=sessions))
        os.chown(record_path(project.dot_flox), STRANGER, STRANGER)
        # A zombie counts until it is waited for, so somebody must wait meanwhile, as a parent does.
        previous = signal.signal(signal.SIGCHLD, lambda *_: processes[1].poll())
        try:
            assert project.services.status()[0].status == "Stopped"
        finally:
            signal.signal(signal.SIGCHLD, previous)
        assert processes[0].poll() is None
        assert processes[1].wait(10) == -signal.SIGTERM
    finally:
        for one in processes:
            one.kill()
            one.communicate()


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_who_listens_in_another_s_directory_does_not_say_whom_to_end(project, mode):
    """Somebody may have made our runtime directory before us, and answer there as a supervisor would."""
    if mode == 0o700 and os.geteuid() != 0:
        pytest.skip("only root makes a directory of somebody else's")
    project.declare("web")
    victim = subprocess.Popen(["sleep", "1000"])
    directory = Path(project.site.socket).parent
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(project.site.socket)
        listener.listen()
        directory.chmod(mode)
        if mode == 0o700:
            os.chown(directory, STRANGER, STRANGER)

        def answer():
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    hello = {protocol.KEY: protocol.VERSION, "supervisor": victim.pid, "guardian": victim.pid}
                    client.sendall(protocol.line(**hello))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            for ask in (project.services.start, project.services.status):
                with suppress(HostError):
                    ask()
            assert victim.poll() is None
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            victim.kill()
            victim.wait()
            os.unlink(project.site.socket)
            os.chown(directory, os.geteuid(), -1)


@pytest.mark.parametrize("name", ["cache", "cache/esker"])
def test_a_lock_is_not_made_behind_a_link(project, tmp_path, name):
    """A directory of the project that leads elsewhere is refused by name, and nothing is made there."""
    project.declare("web")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = Path(project.dot_flox, name)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    with pytest.raises(HostError, match="it is a link, or not a directory") as caught:
        project.services.start()
    assert str(place) in str(caught.value)
    assert list(elsewhere.iterdir()) == []


def test_a_lock_with_a_second_name_or_of_another_kind_is_refused(project, tmp_path):
    """A hard link to a file of ours would be emptied, and a pipe would be waited for."""
    project.declare("web")
    path = Path(record_path(project.dot_flox))
    path.parent.mkdir(parents=True)
    (tmp_path / "file").write_text("ours")
    os.link(tmp_path / "file", path)
    with pytest.raises(HostError, match="it is a hard link, a special file"):
        project.services.status()
    assert (tmp_path / "file").read_text() == "ours"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HostError, match="it is a hard link, a special file"):
        project.services.status()
    path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_what_it_makes_in_a_project_to_its_owner(project):
    """Root's record and its directories belong to the owner of the project, who goes on working there."""
    os.chown(project.dot_flox, STRANGER, STRANGER)
    RecordFile(project.dot_flox).close()
    made = [Path(project.dot_flox, name) for name in ("cache", "cache/esker", "cache/esker/lock")]
    assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in made] == [
        (STRANGER, 0o700),
        (STRANGER, 0o700),
        (STRANGER, 0o600),
    ]
