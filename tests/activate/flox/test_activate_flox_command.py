"""The engine that drives `flox`, against the stand-in: no Flox is available to the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

from esker.activate.flox import command as flox_command
from esker.activate.flox import holder as flox_holder
from esker.activate.flox.command import find_flox
from esker.errors import (
    ActivationFailed,
    CommandFailed,
    HostError,
    Malformed,
    ServiceError,
    ServiceFailed,
    ServicesNotReady,
    TimedOut,
    UnknownService,
)
from esker.formats.service_handle import Holder
from esker.host import pidfd, process_id, start_script
from esker.host.clock import Abandoned, Abandonment, Deadline
from esker.services.flox import chamber as flox_services
from esker.services.flox.uses import changing_uses
from tests.support.flox_engine import FloxEngine

pytestmark = pytest.mark.slow

SERVICES = """
[services.web]
command = "echo started; exec sleep 1000"
[services.other]
command = "exec sleep 1000"
[services.task]
command = "exit 0"
[services.broken]
command = "echo why; exit 3"
[services.killed]
command = "kill -9 $$"
"""


@pytest.fixture
def flox(stand_in):
    """Give a function that makes a project and its Flox engine; whatever a test starts has ended after it."""
    made = []

    def make(manifest=""):
        made.append(FloxEngine(str(stand_in.project(manifest))))
        return made[-1]

    yield make
    at_work = [engine for engine, path in zip(made, stand_in.projects, strict=True) if not stand_in.ended(path, 0)]
    left = [engine for engine in at_work if any(found.pid for found in engine.services.status())]
    for engine in left:
        engine.services.stop()
    assert left == []


def entered(engine, **variables):
    """Activate, and return the variables inside and the function that ends the activation."""
    environ = {**os.environ, **variables}
    begun = engine.begin(environ, Deadline(60))
    return begun.activation.apply(environ), begun.end


def states(engine):
    return {found.name: found.status for found in engine.services.status()}


def logged(engine, name):
    return "".join(f"{line}\n" for line in engine.services.logs(name))


def gone(pid):
    """Return whether a process ends soon."""
    with pidfd.opened(pid) as descriptor:
        return descriptor is None or pidfd.wait(descriptor, 60)


def give_up(path, abandoned, said):
    """Wait until something is written to a named pipe, then hold the pipe open and give up the running call."""
    said.append(path.read_text())
    abandoned.set()


def program(path, text):
    """Replace the stand-in by a program with this text."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_variables_arrive_exactly(flox, tmp_path):
    """Quotes, newlines, shell syntax and bytes that are not text arrive exactly, and unset variables are unset."""
    nasty = """a'b"c$d`e`;f=g\\h\nexport INJECTED=evil\n\té\u2028 """
    (tmp_path / "value").write_text(nasty)
    engine = flox(f"""
[hook]
on-activate = '''
export NASTY="$(cat {tmp_path}/value; printf x)"; NASTY=${{NASTY%x}}
export BYTES=$'\\xff' ONE='"' PATH=/hook/bin:$PATH
unset GONE
'''
""")
    inside, end = entered(engine, GONE="x", **{"not.a-name": "kept", "EMPTY": ""})
    end()
    assert inside["NASTY"] == nasty
    assert (inside["BYTES"], inside["ONE"], inside["not.a-name"], inside["EMPTY"]) == ("\udcff", '"', "kept", "")
    assert "GONE" not in inside
    assert "INJECTED" not in inside
    link = f"{engine.project}/.flox/run/x86_64-linux.project-dev"
    assert inside["PATH"] == f"/hook/bin:{link}/bin:{os.environ['PATH']}"
    assert inside["FLOX_ENV"] == link


def test_what_the_activation_says_is_for_people(flox, capfd):
    """All output of a hook goes to our standard error, and none to our standard output."""
    engine = flox("[hook]\non-activate = 'echo out; echo err >&2; seq 3'\n")
    entered(engine)[1]()
    assert capfd.readouterr() == ("", "out\nerr\n1\n2\n3\n")


def test_a_hook_that_fails(flox, stand_in):
    """If a hook fails, the error has Flox's own message, and no process remains."""
    engine = flox("[hook]\non-activate = 'exit 0'\n")
    with pytest.raises(ActivationFailed, match=r"The hook\.on-activate script did not complete normally\."):
        entered(engine)
    assert not stand_in.executives(stand_in.projects[0])


class Patient(Deadline):
    """A deadline whose pauses last until a condition holds."""

    def __init__(self, reached):
        super().__init__(60)
        self.reached = reached

    def pause(self, seconds):
        """Pause for at least as long as the condition needs."""
        super().pause(seconds)
        while not self.reached():
            super().pause(0.01)


class Until(Deadline):
    """A deadline that passes when a file exists."""

    def __init__(self, path):
        super().__init__(0.3)
        self.path = path

    def left(self):
        """Return 0 seconds when the file exists."""
        return 0 if self.path.exists() else 0.01


def test_a_hook_that_takes_too_long(flox, tmp_path):
    """A hook that exceeds its limit is ended with everything it started, and the message says how long it had."""
    engine = flox(f"[hook]\non-activate = 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 1000'\n")
    with pytest.raises(TimedOut, match=r"`flox activate` did not end within 0\.3 s"):
        engine.begin(dict(os.environ), Until(tmp_path / "pid"))
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_hook_that_is_given_up(flox, tmp_path):
    """A hook that is given up is ended too, as when a waiting coroutine is cancelled."""
    os.mkfifo(tmp_path / "begun")
    engine = flox(f"[hook]\non-activate = 'echo $$ > {tmp_path}/begun; sleep 1000'\n")
    abandoned, pids = Abandonment(), []
    thread = threading.Thread(target=give_up, args=(tmp_path / "begun", abandoned, pids))
    thread.start()
    with pytest.raises(Abandoned):
        engine.begin(dict(os.environ), Deadline(None, abandoned))
    thread.join()
    assert gone(int(pids[0]))


def test_a_program_that_ends_before_it_says_its_variables(stand_in, monkeypatch, tmp_path):
    """A program that ends before it connects is an error, and so is a connection that sends nothing."""
    project = stand_in.project()
    monkeypatch.setattr(flox_command, "version_of", lambda _: "1.14.1")
    connect = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[-1])"
    program(tmp_path / "bin/flox", f'#!/bin/sh\nexec {sys.executable} -c "{connect}" "$@"\n')
    with pytest.raises(ActivationFailed, match="ended before it had sent its variables"):
        entered(FloxEngine(str(project)))
    stay = f"s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[-1]); open('{tmp_path}/there', 'w'); s.recv(1)"
    program(tmp_path / "bin/flox", f'#!/bin/sh\nexec {sys.executable} -c "import socket,sys; {stay}" "$@"\n')
    with pytest.raises(TimedOut):
        FloxEngine(str(project)).begin(dict(os.environ), Until(tmp_path / "there"))
    program(tmp_path / "bin/flox", "#!/bin/sh\nexit 0\n")
    with pytest.raises(ActivationFailed, match="it said nothing"):
        entered(FloxEngine(str(project)))
    program(tmp_path / "bin/flox", "#!/nowhere\n")
    with pytest.raises(CommandFailed, match="flox: the program that runs it"):
        entered(FloxEngine(str(project)))


def test_the_activation_lasts_until_it_is_ended(flox, stand_in):
    """Ending an activation twice does nothing more, and a forked child cannot end its parent's activation."""
    engine = flox()
    _, end = entered(engine)
    (executive,) = stand_in.executives(stand_in.projects[0])
    if os.fork() == 0:
        end()
        os._exit(0)
    os.wait()
    with pidfd.opened(executive) as descriptor:
        assert descriptor is not None
        entered(engine)[1]()
        assert not pidfd.wait(descriptor, 0)
        end()
        end()
        assert pidfd.wait(descriptor, 60)


def test_a_process_that_does_not_leave_is_killed(flox, monkeypatch):
    """A stopped process that cannot see that it should leave is killed."""
    engine = flox()
    held = flox_holder.attach_holder(engine.command.activate, os.environ, Deadline(60))
    monkeypatch.setattr(flox_holder, "_GRACE", 0.02)
    os.kill(held._child, signal.SIGSTOP)
    held.leave()
    assert gone(held._child)


def test_the_activation_ends_with_a_process_that_is_killed(flox, stand_in):
    """When a process is killed, its activation ends, and no process remains."""
    engine = flox("[hook]\non-deactivate = 'echo > $FLOX_ENV_CACHE/ended'\n")
    script = (
        "import os, signal\nfrom esker.host.clock import Deadline\nfrom tests.support.flox_engine import FloxEngine\n"
        f"begun = FloxEngine({engine.project!r}).begin(dict(os.environ), Deadline())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert stand_in.executives(stand_in.projects[0])
    assert stand_in.ended(stand_in.projects[0])
    assert os.path.exists(f"{engine.project}/.flox/cache/ended")


def test_without_flox(stand_in, monkeypatch, tmp_path):
    """Without Flox, the message says that it is missing and what to do instead."""
    project = str(stand_in.project())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="`flox` is not on PATH") as caught:
        FloxEngine(project).begin({}, Deadline(1))
    assert caught.value.hint == "install Flox, or let Esker do it alone: ESKER_ENGINE=native"


@pytest.mark.parametrize("version", ["1.13.9", "0.0.1"])
def test_with_a_flox_that_is_too_old(version, monkeypatch, tmp_path):
    """The message names the version of Flox and the oldest version that works."""
    path = program(tmp_path / "flox", f"#!/bin/sh\necho {version}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        FloxEngine("/").command.version()
    assert caught.value.message == f"`{path}` is Flox {version}, and 1.14.0 or later is needed"
    assert "ESKER_ENGINE=native" in caught.value.hint


@pytest.mark.parametrize("said", ["", "one"])
def test_with_a_flox_that_does_not_tell_its_version(said, monkeypatch, tmp_path):
    """If Flox does not print a version, the message repeats what it printed."""
    path = program(tmp_path / "flox", f"#!/bin/sh\necho {said}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        FloxEngine("/").command.version()
    assert caught.value.message == f"`{path}` does not tell its version: it said `{said}`"
    assert "ESKER_ENGINE=native" in caught.value.hint


@pytest.mark.parametrize("said", ["", "{not json", "[1, 2]", '[{"name": "web"}]', '{"web": {}}', "null", "\\0377"])
def test_with_a_flox_whose_answers_cannot_be_read(said, flox, monkeypatch, tmp_path):
    """If Flox's answer cannot be read, the message names the command, and the lock stays as it was."""
    engine = flox(SERVICES)
    monkeypatch.setattr(flox_command, "version_of", lambda _: "1.14.1")
    program(tmp_path / "bin/flox", f"#!/bin/sh\nprintf '%b' '{said}'\n")
    with pytest.raises(Malformed, match="what `flox services status --json` printed cannot be read: ") as caught:
        engine.services.status()
    assert "ESKER_ENGINE=native" in caught.value.hint
    with open(f"{engine.project}/.flox/env/manifest.lock") as file:
        lock = file.read()
    with pytest.raises(Malformed, match="what `flox lock-manifest` printed cannot be read: "):
        engine.editor.lock(Deadline(60))
    with open(f"{engine.project}/.flox/env/manifest.lock") as file:
        assert file.read() == lock
    program(tmp_path / "bin/flox", "#!/bin/sh\necho broken\ntest $1 = list\n")
    with pytest.raises(Malformed, match="what `flox list -c` printed cannot be read: "):
        engine.services.status()


def test_with_a_flox_that_hangs(flox, monkeypatch, tmp_path):
    """The caller's limit includes the questions to Flox on the way; a caller that gives up does not wait for them."""
    engine = flox(SERVICES)
    monkeypatch.setattr(flox_command, "version_of", lambda _: "1.14.1")
    monkeypatch.setattr(flox_services, "_ANSWER", 0)
    os.mkfifo(tmp_path / "asked")
    program(tmp_path / "bin/flox", f"#!/bin/sh\necho > {tmp_path}/asked\nexec sleep 1000\n")
    services = engine.services
    for act in (services.start, services.lease, services.restart, partial(services.wait, until="healthy")):
        with pytest.raises(TimedOut, match=r"/flox` did not end within \S+ s"):
            act("web", seconds=Deadline(0.05))
        abandoned = Abandonment()
        thread = threading.Thread(target=give_up, args=(tmp_path / "asked", abandoned, []))
        thread.start()
        with pytest.raises(Abandoned):
            act("web", seconds=Deadline(1000, abandoned))
        thread.join()


def test_a_newer_flox_is_taken(monkeypatch, tmp_path):
    """Versions are compared as numbers, and text after the numbers does not matter."""
    program(tmp_path / "flox", "#!/bin/sh\necho 1.20.0-rc1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert FloxEngine("/").command.version() == "1.20.0-rc1"


def test_our_own_shim_is_no_flox(tmp_path):
    """Our own shim is not taken for Flox, because Esker would then call itself."""
    start_script.write(str(tmp_path), "flox", entry="flox", interpreter=sys.executable, source="/")
    assert find_flox(str(tmp_path)) is None
    program(tmp_path / "flox", "#!/bin/sh\n")
    assert find_flox(str(tmp_path)) == f"{tmp_path}/flox"


def test_services_for_a_while(flox, stand_in):
    """Leased services run until they are given back, and the activation is left alone."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    release = engine.services.lease("web", seconds=Deadline(60)).release
    assert states(engine)["web"] == "Running"
    release()
    assert set(states(engine).values()) == {"Stopped", "Completed"}
    end()


def test_the_last_user_of_a_service_stops_it(flox):
    """The last user stops a service, whoever was the first; one that ran before, or was started to stay, runs on."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    first = engine.services.lease("web", seconds=Deadline(60)).release
    second = engine.services.lease("web", "other", seconds=Deadline(60)).release
    first()
    assert (states(engine)["web"], states(engine)["other"]) == ("Running", "Running")
    second()
    assert (states(engine)["web"], states(engine)["other"]) == ("Completed", "Completed")
    engine.services.start("web", seconds=Deadline(60))
    engine.services.lease("web", seconds=Deadline(60)).release()
    assert states(engine)["web"] == "Running"
    third = engine.services.lease("other", seconds=Deadline(60)).release
    engine.services.start("other", seconds=Deadline(60))
    third()
    assert states(engine)["other"] == "Running"
    engine.services.stop()
    end()


def test_a_user_that_was_killed_does_not_count(flox):
    """The services of a killed user are stopped when another user gives its services back."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    script = (
        "import os, signal\nfrom esker.host.clock import Deadline\nfrom tests.support.flox_engine import FloxEngine\n"
        f"FloxEngine({engine.project!r}).services.lease('web', seconds=Deadline(60)).release\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert states(engine)["web"] == "Running"
    engine.services.lease("other", seconds=Deadline(60)).release()
    assert "Running" not in states(engine).values()
    end()


def test_services_that_stay(flox, stand_in):
    """Without an activation of ours, one process keeps all services that stay, and ends with the last of them."""
    engine = flox(SERVICES)
    engine.services.start("web", seconds=Deadline(60))
    holder = engine.services.keeper()
    assert [status.name for status in engine.services.start("other", seconds=Deadline(60))] == ["other"]
    assert engine.services.keeper() == holder
    assert flox_holder.is_alive(holder)
    engine.services.stop("web")
    assert flox_holder.is_alive(holder)
    assert states(engine)["other"] == "Running"
    engine.services.stop("other")
    assert not flox_holder.is_alive(holder)
    assert stand_in.ended(stand_in.projects[0])


def test_a_keeper_that_was_killed_is_replaced(flox):
    """If the process that keeps services was killed, the next start makes a new one."""
    engine = flox(SERVICES)
    engine.services.start("web", seconds=Deadline(60))
    first = engine.services.keeper()
    with pidfd.opened(first.pid) as descriptor:
        os.kill(first.pid, 9)
        pidfd.wait(descriptor, 60)
    engine.services.start("web", seconds=Deadline(60))
    second = engine.services.keeper()
    assert second != first
    assert states(engine)["web"] == "Running"
    engine.services.stop()
    assert not flox_holder.is_alive(second)


KILLED_ON_THE_WAY = """\
import os, signal
from esker.host.clock import Deadline
from tests.support.flox_engine import FloxEngine
engine = FloxEngine({project!r})
call_inside = engine.command.call_inside
def begin(*words, **how):
    call_inside(*words, **how)
    os.kill(os.getpid(), signal.SIGKILL)
engine.command.call_inside = begin
engine.services.{verb}("web", seconds=Deadline(60))
"""


def killed_on_the_way(engine, verb):
    """Do something with services in a process that is killed when it has just begun."""
    script = KILLED_ON_THE_WAY.format(project=engine.project, verb=verb)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert states(engine)["web"] == "Running"


def test_who_keeps_services_is_known_though_who_asked_for_it_was_killed(flox, stand_in):
    """If a start is killed, the next stop ends the process that keeps services, and with it the activation."""
    engine = flox(SERVICES)
    killed_on_the_way(engine, "start")
    with changing_uses(f"{engine.project}/.flox") as uses:
        assert flox_holder.is_alive(uses.holder)
    engine.services.stop()
    assert stand_in.ended(stand_in.projects[0])


def test_what_was_started_for_one_that_was_killed_on_the_way(flox):
    """A service that a killed process started for itself stops when the next user gives any service back."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    killed_on_the_way(engine, "lease")
    engine.services.lease("other", seconds=Deadline(60)).release()
    assert "Running" not in states(engine).values()
    end()


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}])
def test_another_process_is_never_taken_for_the_keeper(change):
    """No signal goes to a process with the pid of an earlier one, or to a pid from a file of an earlier boot."""
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        holder = Holder(*process_id.of(stranger.pid), process_id.boot_id())
        assert flox_holder.is_alive(holder)
        flox_holder.end(holder._replace(**change))
        with pidfd.opened(stranger.pid) as descriptor:
            assert not pidfd.wait(descriptor, 0)
            flox_holder.end(holder)
            assert pidfd.wait(descriptor, 0)


@pytest.mark.parametrize(
    ("name", "message", "status"),
    [
        ("broken", "service `broken` exited with status 3", 3),
        ("killed", "service `killed` was ended by a signal", None),
    ],
)
@pytest.mark.parametrize("verb", ["start", "lease"])
def test_a_service_that_fails(flox, name, message, status, verb):
    """The error names the service with its status and log; services that the call started stop, others run on."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    release = engine.services.lease("other", seconds=Deadline(60)).release
    with pytest.raises(ServiceFailed) as caught:
        getattr(engine.services, verb)("web", name, seconds=Patient(lambda: states(engine)[name] != "Running"))
    assert (caught.value.message, caught.value.service, caught.value.status) == (message, name, status)
    assert caught.value.log == (("why",) if name == "broken" else ())
    assert (states(engine)["web"], states(engine)["other"]) == ("Completed", "Running")
    release()
    end()
    with changing_uses(f"{engine.project}/.flox") as uses:
        assert uses.record() == {"uses": [], "started": [], "holder": None}


def test_restarting(flox):
    """Running services get a new process, and services that did not run are started to stay."""
    engine = flox(SERVICES)
    engine.services.start("web", seconds=Deadline(60))
    before = {found.name: found.pid for found in engine.services.status()}
    engine.services.restart("web", "other", seconds=Deadline(60))
    after = {found.name: found.pid for found in engine.services.status()}
    assert after["web"] not in {None, before["web"]}
    assert after["other"] is not None
    engine.services.stop()


def test_waiting(flox):
    """Waiting returns for a state that holds already or comes later, and ends when the limit has passed."""
    engine = flox(SERVICES)
    engine.services.start("web", "task", seconds=Patient(lambda: logged(engine, "web")))
    engine.services.wait("web", until="healthy", seconds=Deadline(60))
    engine.services.wait("task", until="completed", seconds=Deadline(60))
    engine.services.wait("other", until="stopped", seconds=Deadline(60))
    with pytest.raises(ServicesNotReady, match=r"not ready within 0\.01 s: `web` \(Running\)") as caught:
        engine.services.wait("web", until="stopped", seconds=Deadline(0.01))
    assert (caught.value.services, caught.value.log) == (("web",), ("started",))
    with pytest.raises(ServiceFailed, match="service `other` is Stopped"):
        engine.services.wait("other", until="healthy", seconds=Deadline(60))
    engine.services.stop()


def test_what_is_known_of_services(flox):
    """The states have the exit codes of ended services and the pids of running services, but no stale pids."""
    engine = flox(SERVICES)
    _, end = entered(engine)
    engine.services.start("task", seconds=Deadline(60))
    with pytest.raises(ServiceFailed):
        engine.services.start("broken", seconds=Patient(lambda: states(engine)["broken"] != "Running"))
    found = {each.name: each for each in engine.services.status()}
    assert (found["task"].status, found["task"].exit_code, found["task"].pid) == ("Completed", 0, None)
    assert (found["broken"].exit_code, found["web"].status) == (3, "Stopped")
    engine.services.stop()
    end()


def test_an_unknown_name(flox):
    """An unknown name is refused before anything happens, and the error names the known services."""
    engine = flox(SERVICES)
    services = engine.services
    for act in (
        lambda: services.start("web", "--help", seconds=Deadline(60)),
        lambda: services.lease("--help", seconds=Deadline(60)).release,
        lambda: services.restart("--help", seconds=Deadline(60)),
        lambda: services.stop("--help"),
        lambda: services.logs("--help"),
        lambda: next(services.follow("--help")),
        lambda: services.wait("--help", until="healthy", seconds=Deadline(60)),
    ):
        with pytest.raises(UnknownService, match="service `--help` does not exist") as caught:
            act()
        assert caught.value.hint == "the services here are `broken`, `killed`, `other`, `task`, `web`"
    assert set(states(engine).values()) == {"Stopped"}


def test_an_environment_without_services(flox):
    """Without services the list is empty and a start is an error; a manifest that Flox cannot read is another error."""
    engine = flox()
    assert engine.services.status() == ()
    with pytest.raises(ServiceError, match="this environment has no services"):
        engine.services.start(seconds=Deadline(60))
    with open(f"{engine.project}/.flox/env/manifest.toml", "a") as file:
        file.write("broken\n")
    with pytest.raises(CommandFailed, match="`flox list -c` failed: Failed to parse manifest"):
        engine.services.status()


def test_names_are_no_options(flox):
    """A service may have a name that looks like an option."""
    engine = flox('[services."--json"]\ncommand = "echo hello; exec sleep 1000"\n')
    engine.services.start("--json", seconds=Patient(lambda: logged(engine, "--json")))
    assert states(engine) == {"--json": "Running"}
    assert engine.services.logs("--json", 5) == ["hello"]
    engine.services.stop("--json")
    assert states(engine) == {"--json": "Stopped"}


def test_following_a_log(flox, tmp_path):
    """Lines come as they are written, without the service's name in front, until the caller stops."""
    engine = flox(
        f"[services.web]\ncommand = 'echo one; read line < {tmp_path}/more; echo \"$line\"; exec sleep 1000'\n"
    )
    os.mkfifo(tmp_path / "more")
    engine.services.start("web", seconds=Deadline(60))
    lines = engine.services.follow("web", count=1)
    assert next(lines) == ("web", "one")
    (tmp_path / "more").write_text("web: two\n")
    assert next(lines) == ("web", "web: two")
    lines.close()
    assert engine.services.logs("web", 1) == ["web: two"]
    engine.services.stop()
    with pytest.raises(CommandFailed, match=r"`flox services logs --follow` failed: Services not started") as caught:
        next(engine.services.follow("web"))
    assert caught.value.status == 1


def test_packages(flox):
    """Flox adds and removes packages, and its message is that of the error."""
    engine = flox()
    engine.editor.install(["hello", "curl"], Deadline(60))
    engine.editor.uninstall(["curl"], Deadline(60))
    with open(f"{engine.project}/.flox/env/manifest.toml") as file:
        assert 'hello.pkg-path = "hello"' in file.read()
    with pytest.raises(CommandFailed) as caught:
        engine.editor.install(["no-such-package"], Deadline(60))
    assert caught.value.message == (
        "`flox install` failed: resolution failed: \nCould not find package 'no-such-package'."
    )
    assert caught.value.status == 1


def test_locking(flox):
    """The lock matches the manifest afterwards; a lock that matches already is not touched."""
    engine = flox()
    path = f"{engine.project}/.flox/env/manifest.lock"
    with open(f"{engine.project}/.flox/env/manifest.toml", "a") as file:
        file.write("[vars]\nA = 'x'\n")
    engine.editor.lock(Deadline(60))
    with open(path) as file:
        assert json.load(file)["manifest"]["vars"] == {"A": "x"}
    before = os.stat(path)
    engine.editor.lock(Deadline(60))
    assert (os.stat(path).st_ino, os.stat(path).st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    os.unlink(path)
    engine.editor.lock(Deadline(60))
    assert os.path.exists(path)


def test_an_environment_is_made(stand_in, tmp_path):
    """An environment is made with the given name, but not where there is one already."""
    (tmp_path / "new").mkdir()
    engine = FloxEngine(str(tmp_path / "new"))
    engine.editor.init("chosen")
    with open(tmp_path / "new/.flox/env.json") as file:
        assert json.load(file)["name"] == "chosen"
    with pytest.raises(CommandFailed, match="Found an existing environment"):
        engine.editor.init(None)
