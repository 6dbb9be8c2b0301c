"""The way to the supervisor: one for all, versions that do not fit, and environments that cannot have services."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from esker.errors import HostError, ServiceError, TimedOut
from esker.host import background, process_id, runtime_directory
from esker.services.specification import CheckSpec
from esker.services.supervised import connection, guardian, protocol, rendezvous, server
from esker.services.supervised.control import Supervised
from esker.services.supervised.record_lock import record_path
from esker.services.supervised.rendezvous import connect
from esker.services.supervised.server import _Server
from esker.services.supervised.supervisor_record import RecordFile, services_are_running


def say(project, line):
    """Send one line to the supervisor, and return its greeting and its answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(project.site.socket)
        lines = client.makefile("rb")
        hello = json.loads(lines.readline())
        client.sendall(line)
        answer = lines.readline()
        return hello, json.loads(answer) if answer else None


def test_the_socket_is_ours_alone(project):
    """The control socket is 0600, and the greeting names the version and the processes."""
    project.declare("web")
    with project.services.lease():
        assert os.stat(project.site.socket).st_mode & 0o777 == 0o600
        hello, _ = say(project, protocol.request_line(protocol.StatusRequest()))
        record = project.record
        assert hello[protocol.KEY] == protocol.VERSION
        assert (hello["supervisor"], hello["guardian"]) == (record.supervisor[0], record.guardian[0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"esker-services": 9, "do": "status"}\n', "the other side speaks version 9 of the services' protocol"),
        (b'{"do": "status"}\n', "version None"),
        (b'{"esker-services": 8, "do": "dance"}\n', "is not a valid request"),
        (b'{"esker-services": 8, "do": "start"}\n', "is not a valid request"),
        (b"GET / HTTP/1.1\r\n", "is not a valid request"),
        (b"[]\n", "is not a valid request"),
        (b"\xff\xfe\n", "is not a valid request"),
        (b"[" * 100_000 + b"\n", "is not a valid request"),
        (
            b'{"esker-services": 8, "do": "wait", "until": "healthy", "names": ' + b"[" * 50 + b"]" * 50 + b"}\n",
            "more than 32 tables or arrays",
        ),
        (b'{"esker-services": 8, "do": "wait", "until": "healthy", "names": ["\\ud800"]}\n', "`names`: "),
        (b'{"esker-services": 8, "do": "wait", "until": "healthy", "names": [], "seconds": 1e999}\n', "`seconds`: "),
        (b'{"esker-services": 8, "do": "wait", "until": "healthy", "names": [], "seconds": NaN}\n', "`seconds`: "),
        (
            b'{"esker-services": 8, "do": "wait", "until": "healthy", "names": [], "seconds": 1' + b"0" * 400 + b"}\n",
            "`seconds`: ",
        ),
        (b'{"esker-services": 8, "do": "stop", "names": [{}], "caller": 7}\n', "`names`: "),
        (b'{"esker-services": [[4]], "do": "status"}\n', "the other side speaks version "),
        (b'{"esker-services": 8, "do": ["status"]}\n', "is not a valid request"),
        (
            b'{"esker-services": 8, "do": "status", "specs": [{"name": "a", "command": "b", "stop_signal": {}}]}\n',
            "`stop_signal`: ",
        ),
    ],
)
def test_what_is_no_request_is_answered_by_a_message(project, line, said):
    """An unknown version, verb or text is answered, and the supervisor goes on."""
    project.declare("web")
    with project.services.lease():
        _, answer = say(project, line)
        assert said in answer["error"]["message"]
        assert project.services.status()[0].status == "Running"


def test_clients_that_say_nothing_or_too_little_are_forgotten(project):
    """A client that goes away before, in or after its request does not keep the supervisor, nor end it."""
    project.declare("web")
    with project.services.lease():
        for text in (
            b"",
            b'{"esker-serv',
            protocol.request_line(protocol.StatusRequest()),
            protocol.request_line(protocol.WatchRequest()),
        ):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(project.site.socket)
                client.sendall(text)
        assert project.services.status()[0].status == "Running"
    assert project.processes() == []


@contextmanager
def supervisor(project, *lines):
    """Somebody who answers at the socket with `lines`, and is named as the supervisor by the environment's record."""
    os.makedirs(os.path.dirname(project.site.socket), exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(project.site.socket)
        listener.listen()

        def serve():
            client, _ = listener.accept()
            with client:
                for line in lines:
                    client.sendall(line)
                while client.recv(1 << 20):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        file = RecordFile(project.dot_flox)
        file.write(record_of(project))
        try:
            yield
        finally:
            thread.join()
            file.clear()
            file.close()
            os.unlink(project.site.socket)


def record_of(project, **fields):
    """The record of a supervisor that is this process."""
    from esker.host import process_id
    from esker.services.supervised.supervisor_record import SupervisorRecord

    me = process_id.own()
    record = SupervisorRecord(
        token="x",
        dot_flox=project.dot_flox,
        socket=project.site.socket,
        host=os.uname().nodename,
        boot=process_id.boot_id(),
        uid=os.geteuid(),
        guardian=me,
        supervisor=me,
    )
    return replace(record, **fields)


def test_a_supervisor_of_another_version_is_an_error_with_what_to_do(project):
    """The message names both versions and how to go on; nothing is started beside it."""
    project.declare("web")
    hello = {protocol.KEY: 9, "source": "/other/esker", "supervisor": os.getpid(), "guardian": 1233}
    with supervisor(project, json.dumps(hello).encode() + b"\n"), pytest.raises(ServiceError) as caught:
        project.services.start()
    assert "the other side speaks version 9 of the services' protocol, this Esker version 8" in caught.value.message
    assert (
        caught.value.hint
        == f"the Esker in `/other/esker` runs these services: use that one, or end them with `kill {os.getpid()}`"
    )


def test_a_supervisor_that_does_not_answer_is_an_error_in_time(project, monkeypatch):
    """One that was stopped or hangs is named with its pid, before its greeting and after it."""
    monkeypatch.setattr(connection, "GREETING_SECONDS", 0.05)
    project.declare("web")
    with supervisor(project), pytest.raises(TimedOut, match=f"the supervisor of the services \\(pid {os.getpid()}\\)"):
        project.services.start()
    hello = {protocol.KEY: protocol.VERSION, "supervisor": os.getpid(), "guardian": 1}
    with supervisor(project, json.dumps(hello).encode() + b"\n"):
        found = connect(project.site, start=False)
        with pytest.raises(TimedOut, match=rf"\(pid {os.getpid()}\) does not answer") as caught:
            found.ask(protocol.StatusRequest(), 0.05)
    assert caught.value.hint.startswith(f"end it with `kill -9 {os.getpid()}`")


@pytest.mark.parametrize(
    ("fields", "said", "hint"),
    [
        ({"host": "elsewhere"}, "run on the machine `elsewhere`", "remove `"),
        ({"uid": 4242}, "are run by uid 4242, and this process runs as user `", "or work in a clone of your own"),
    ],
)
def test_services_of_another_machine_or_user_are_told(project, fields, said, hint):
    """Neither is touched, and the message says where to go."""
    project.declare("web")
    file = RecordFile(project.dot_flox)
    file.write(record_of(project, **fields))
    for call in (project.services.start, project.services.stop, project.services.status):
        with pytest.raises(ServiceError, match=said) as caught:
            call()
        assert hint in caught.value.hint
    file.clear()
    file.close()


def test_a_record_from_before_a_reboot_is_no_supervisor(project):
    """What a crash of the whole machine left in the record is in nobody's way."""
    project.declare("web")
    file = RecordFile(project.dot_flox)
    file.write(record_of(project, boot="another", socket=f"{project.directory}/gone.sock"))
    file.close()
    with project.services.lease() as held:
        assert held.statuses[0].ready


def test_a_damaged_lock_is_no_supervisor(project):
    """A record that says nothing readable is written anew."""
    project.declare("web")
    with project.services.lease():
        pass
    for text in ("{", "[]\n", '{"token": 1}\n', "\0" * 100):
        with open(record_path(project.dot_flox), "w") as file:
            file.write(text)
        with project.services.lease() as held:
            assert held.statuses[0].ready


def test_a_lock_that_was_removed_does_not_hide_the_supervisor(project):
    """After `rm -rf .flox/cache` the next start ends the supervisor that nobody could find, and starts its own."""
    project.declare("web")
    (before,) = project.services.start()
    shutil.rmtree(f"{project.dot_flox}/cache")
    assert [one.pid for one in project.services.status()] == [before.pid]
    assert not os.path.exists(f"{project.dot_flox}/cache")
    with project.services.lease() as held:
        assert held.statuses[0].pid != before.pid
        assert len([found for found in project.processes() if found.program == "esker-services"]) == 1


def test_a_lock_that_was_removed_does_not_keep_services_from_being_stopped(project):
    """`services stop` reaches the supervisor by its socket, and not one in a directory that others may write into."""
    project.declare("web")
    project.services.start()
    shutil.rmtree(f"{project.dot_flox}/cache")
    parent = os.path.dirname(project.runtime)
    os.chmod(parent, 0o777)
    assert project.services.stop().stopped == ()
    os.chmod(parent, 0o700)
    assert project.services.stop().stopped == ("web",)
    assert project.processes() == []


def test_a_copied_checkout_has_services_of_its_own_at_once(project):
    """A copy has the record of the original too; nobody waits for the original's supervisor or ends its services."""
    project.declare("web")
    (original,) = project.services.start()
    directory = f"{project.directory}/copy"
    shutil.copytree(project.dot_flox, f"{directory}/.flox", symlinks=True)
    site = project.site._replace(project=directory, dot_flox=f"{directory}/.flox", runtime=f"{project.runtime}2")
    copy = Supervised(site, project.specs, lambda *_: project.surroundings)
    assert not services_are_running(site.dot_flox)
    assert copy.status()[0].status == "Stopped"
    assert copy.stop().stopped == ()
    with copy.lease() as held:
        assert services_are_running(site.dot_flox)
        assert held.statuses[0].pid != original.pid
    assert [one.pid for one in project.services.status()] == [original.pid]
    project.services.stop()


def test_a_moved_checkout_finds_its_supervisor_even_if_its_place_is_taken_again(project):
    """The supervisor and the services go on, and the moved checkout can stop them."""
    project.declare("web")
    project.runtime = f"{project.directory}/run/{runtime_directory.directory_name(project.dot_flox)}"
    (before,) = project.services.start()
    directory = f"{project.directory}/moved"
    os.mkdir(directory)
    os.rename(project.dot_flox, f"{directory}/.flox")
    site = project.site._replace(project=directory, dot_flox=f"{directory}/.flox", runtime=f"{project.runtime}2")
    moved = Supervised(site, project.specs, lambda *_: project.surroundings)
    assert [one.pid for one in moved.status()] == [before.pid]
    os.mkdir(project.dot_flox)
    assert [one.pid for one in moved.status()] == [before.pid]
    assert moved.stop().stopped == ("web",)


def test_a_supervisor_ends_with_its_environment(project):
    """When the checkout is removed or replaced nobody could find the supervisor any more, so it ends."""

    async def look(change):
        file = RecordFile(project.dot_flox)
        server = _Server(file, record_of(project), runtime=project.runtime, logs=file.descriptor)
        change()
        server._watch()
        file.close()
        return server._end.is_set()

    assert not asyncio.run(look(lambda: None))
    old = f"{project.directory}/old"
    assert asyncio.run(look(lambda: (os.rename(project.dot_flox, old), os.mkdir(project.dot_flox))))
    assert asyncio.run(look(lambda: shutil.rmtree(project.dot_flox)))


def test_a_path_that_is_too_long_for_a_socket(project):
    """The limit is told before anything is started."""
    project.declare("web")
    project.runtime = f"{project.directory}/run/{'e' * 100}"
    with pytest.raises(HostError, match="the system allows 107"):
        project.services.start()
    assert project.processes() == []


def test_a_project_that_cannot_be_written(project):
    """A project where no record can be made has a message of its own; asking for the state is no reason to write."""
    project.declare("web")
    with open(f"{project.dot_flox}/cache", "w"):
        pass
    with pytest.raises(HostError) as caught:
        project.services.start()
    assert caught.value.message.startswith("cannot lock `")
    assert [one.status for one in project.services.status()] == ["Stopped"]
    os.remove(f"{project.dot_flox}/cache")
    assert [one.status for one in project.services.status()] == ["Stopped"]
    assert project.services.stop().stopped == ()
    assert not os.path.exists(f"{project.dot_flox}/cache")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_project_of_another_user(project):
    """A user who may not write there is told so; root's visit leaves the owner able to work."""
    project.declare("web", user="root")
    os.chmod(project.dot_flox, 0o755)
    code = (
        "import os, sys; os.setgid(4242); os.setuid(4242)\n"
        "from esker.services.supervised.supervisor_record import RecordFile\n"
        "RecordFile(sys.argv[1]).close()"
    )

    def visit():
        script = f"import sys; sys.path.insert(0, {background.SOURCE!r}); import esker.services.supervised.supervisor_record; {code}"
        return subprocess.run(
            [sys.executable, "-c", script, project.dot_flox], capture_output=True, text=True, check=False
        )

    assert "PermissionError" in visit().stderr
    os.chown(project.dot_flox, 4242, 4242)
    project.services.start()
    project.services.stop()
    assert visit().stderr == ""


def test_logs_can_be_read_without_a_supervisor(project):
    """A log is a file: its last lines are there when nothing runs, and a service that never ran has none."""
    project.declare("web", "echo one; echo two; exec sleep 1000")
    project.declare("api")
    with project.services.lease("web"):
        pass
    assert project.services.logs("web", 1) == ["two"]
    assert project.services.logs("api") == []
    assert list(project.services.follow(count=1, pause=lambda: False)) == [("web", "two")]


def test_nothing_of_the_variables_reaches_a_file(project):
    """What a service was given in its environment is in no file that the services leave or use."""
    project.declare("web", vars={"SECRET": "s3cr3t-value"})
    with project.services.lease():
        for directory, _, names in os.walk(project.directory):
            for name in names:
                path = os.path.join(directory, name)
                if not stat.S_ISSOCK(os.stat(path).st_mode):
                    with open(path, "rb") as file:
                        assert b"s3cr3t-value" not in file.read()


def test_a_client_loads_no_event_loop():
    """The event loop is the supervisor's alone: a command that only asks does not pay its 17 ms."""
    code = "import sys; import esker.services.supervised.control; print('asyncio' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk_is_told_by_the_supervisor_itself(project, caller):
    """A supervisor that cannot write its record says so to whoever started it, since it cannot to a file either."""
    project.declare("web")
    for directory in ("cache/esker", "log/services"):
        os.makedirs(f"{project.dot_flox}/{directory}", mode=0o700)
    code = (
        "import ctypes, os\n"
        "assert not ctypes.CDLL(None, use_errno=True).unshare(0x00020000)\n"
        "mount = ctypes.CDLL(None, use_errno=True).mount\n"
        "assert not mount(b'none', b'/', None, 0x44000, None)\n"
        "place = services.site.dot_flox + '/cache/esker'\n"
        "assert not mount(b'none', place.encode(), b'tmpfs', 0, b'size=4k,mode=700')\n"
        "open(place + '/all', 'w').write('x' * 4096)\n"
        "services.start()\n"
    )
    said = caller(code).communicate()[1]
    assert f"cannot write `{record_path(project.dot_flox)}`: no space left on device" in said
    assert "hint: make room on that disk" in said


def test_a_project_that_is_only_read_has_states_that_can_be_asked_for(project, monkeypatch):
    """Where the record cannot be written and is empty, nothing runs: state and stop need not write either."""
    project.declare("web")
    with project.services.lease():
        pass

    def refuse(_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    monkeypatch.setattr(rendezvous, "RecordFile", refuse)
    assert [one.status for one in project.services.status()] == ["Stopped"]
    assert project.services.stop("web").not_running == ("web",)
    with pytest.raises(HostError, match="read-only file system"):
        project.services.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_services_that_another_user_may_not_see_are_not_taken_for_stopped(project):
    """Who may not look into the directory of the record is told whose it is."""
    project.declare("web", user="root")
    with project.services.lease():
        os.setegid(4242)
        os.seteuid(4242)
        try:
            for ask in (project.services.status, project.services.stop):
                with pytest.raises(HostError, match=r"cannot look at `.*/lock`: permission denied") as caught:
                    ask()
                assert "belongs to uid 0, and this process runs as uid 4242" in caught.value.hint
        finally:
            os.seteuid(0)
            os.setegid(0)


def test_a_lock_that_nobody_lets_go_is_an_error_in_time(project, monkeypatch):
    """A command that was suspended while it held the record is named, and nobody waits for it for ever."""
    monkeypatch.setattr(rendezvous, "_HELD", 0.05)
    project.declare("web")
    held = RecordFile(project.dot_flox)
    assert held.try_acquire()
    with pytest.raises(TimedOut) as caught:
        project.services.start()
    held.close()
    assert caught.value.message.endswith(f"(pid {os.getpid()}) has held `{record_path(project.dot_flox)}` for 0.05 s")
    assert "`fg`" in caught.value.hint
    assert f"`kill -9 {os.getpid()}`" in caught.value.hint


def test_the_guardian_clears_the_lock_last(project, monkeypatch):
    """Whoever finds the record clear may start a supervisor, whose socket and directory the guardian must not touch."""
    file = RecordFile(project.dot_flox)
    record = record_of(project)
    file.write(record)
    seen = []
    monkeypatch.setattr(runtime_directory, "clear", lambda _: seen.append(project.record))
    guardian._put_in_order(project.site.socket, project.runtime, project.dot_flox)
    file.close()
    assert (seen, project.record) == ([record], None)


@pytest.mark.parametrize(("fed", "found"), [(b"", b""), (b"half", b""), (b"x" * 100, b"\n"), (b"whole\n", b"whole\n")])
def test_a_silent_client_does_not_keep_the_supervisor(monkeypatch, fed, found):
    """Who has not said a whole line in time is taken for gone, and a line beyond all bounds for no request."""
    monkeypatch.setattr(server, "_PATIENCE", 0.01)

    async def ask():
        reader = asyncio.StreamReader(limit=50)
        reader.feed_data(fed)
        return await server._request(reader)

    assert asyncio.run(ask()) == found


def test_nothing_is_left_by_a_start_that_the_machine_refuses(project, monkeypatch):
    """Where no log can be opened, no process begun, or the first one is killed, there is no runtime directory."""
    project.declare("web")
    os.makedirs(f"{project.dot_flox}/log/services/supervisor.log")
    with pytest.raises(HostError, match=r"cannot write `.*/supervisor.log`"):
        project.services.start()
    os.rmdir(f"{project.dot_flox}/log/services/supervisor.log")

    begun = subprocess.Popen

    def refuse(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ServiceError, match="did not start: resource temporarily unavailable") as caught:
        project.services.start()
    assert "`ulimit -u`" in caught.value.hint
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: begun(["true"]))
    with pytest.raises(ServiceError, match="did not start: it ended without a message"):
        project.services.start()
    assert project.leftovers() == []


def test_a_new_supervisor_that_says_nothing_is_no_pid_to_kill(project, monkeypatch):
    """When the one that was just begun does not greet in time nobody knows its pid, and no `kill` is advised."""
    monkeypatch.setattr(connection, "GREETING_SECONDS", 0.05)
    begun = subprocess.Popen

    def stay(*_, pass_fds, **__):
        return begun(["sh", "-c", "sleep 1 &"], pass_fds=pass_fds)

    monkeypatch.setattr(subprocess, "Popen", stay)
    project.declare("web")
    with pytest.raises(ServiceError, match=r"did not start: it said nothing for 0.05 s") as caught:
        project.services.start()
    assert "kill" not in caught.value.hint


@pytest.mark.parametrize("pid", [1, 1 << 22])
def test_a_greeting_that_names_a_process_which_is_not_ours_advises_nothing_about_it(project, pid):
    """Neither pid 1 nor a pid that nobody has is to be killed, for a foreign version and for silence."""
    project.declare("web")
    assert not process_id.is_ours(pid)

    def ask():
        connect(project.site, start=False).ask(protocol.StatusRequest(), 0.05)

    for version, call in ((9, project.services.start), (protocol.VERSION, ask)):
        hello = {protocol.KEY: version, "supervisor": pid, "guardian": 1}
        with supervisor(project, json.dumps(hello).encode() + b"\n"), pytest.raises((ServiceError, TimedOut)) as caught:
            call()
        assert "kill" not in caught.value.hint


def test_what_the_caller_blocks_and_ignores_is_not_for_services(project, caller):
    """A thread of a program may block signals, and a program ignore the end of its children: no service does."""
    check = CheckSpec(form="log", target=("up",))
    project.declare("web", "grep -E 'Sig(Blk|Ign)' /proc/self/status; echo up; exec sleep 1000", check=check)
    begin = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM})
services.start()
"""
    process = caller(begin)
    assert process.communicate(timeout=20) == ("", "")
    assert project.services.logs("web") == [f"{name}:\t{0:016x}" for name in ("SigBlk", "SigIgn")] + ["up"]
    project.services.stop()
    assert project.processes() == []


def test_who_watches_no_more_takes_nothing_of_the_supervisor(project):
    """Its end of the connection is closed, also if no service changes for long."""
    project.declare("web")
    with project.services.lease():
        descriptors = f"/proc/{project.record.supervisor.pid}/fd"
        before = len(os.listdir(descriptors))
        for _ in range(3):
            changes = project.services.changes()
            next(changes)
            changes.close()
        deadline = time.monotonic() + 10
        while len(os.listdir(descriptors)) > before:
            assert time.monotonic() < deadline


def test_a_record_that_names_pid_1_is_no_record(project):
    """Not as supervisor, guardian or session: nothing of it is signalled, waited for or advised about."""
    project.declare("web")
    first = process_id.of(1)
    for fields in ({"supervisor": first}, {"guardian": first}):
        file = RecordFile(project.dot_flox)
        file.write(record_of(project, **fields))
        assert file.read() is None
        file.write(record_of(project, sessions=(first,)))
        assert file.read().sessions == ()
        file.clear()
        file.close()


@pytest.mark.slow
def test_commands_behind_a_stopped_supervisor_wait_together(project, monkeypatch):
    """Five at once take the time of one, and each names the stopped supervisor and how to resume it."""
    monkeypatch.setattr(connection, "GREETING_SECONDS", 1.0)
    monkeypatch.setattr(rendezvous, "GREETING_SECONDS", 1.0)
    project.declare("web")
    with project.services.lease():
        pid = project.record.supervisor.pid
        said = []

        def ask():
            try:
                project.services.status()
            except TimedOut as error:
                said.append((error.message, error.hint))

        os.kill(pid, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=ask) for _ in range(5)]
            before = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took = time.monotonic() - before
        finally:
            os.kill(pid, signal.SIGCONT)
        assert took < 2.5
        assert len(said) == 5
        assert all(f"(pid {pid}) is stopped" in message and f"kill -CONT {pid}" in hint for message, hint in said)
        assert project.services.status()[0].status == "Running"
