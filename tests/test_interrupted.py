"""Ctrl-C in a program that uses Esker's Python classes: a KeyboardInterrupt and no noise, and what was begun is undone."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from threading import Event, Thread

import pytest

from esker.host import pidfd, process_table
from esker.store.store import Store
from tests.support.projects import EMPTY, write_project

pytestmark = pytest.mark.slow
PYTHON = '[plugins.esker.python]\ndependencies = ["app"]\n'
HOOK = "[hook]\non-activate = '''\ntouch begun\nsleep 300\n'''\n"
SERVICE = """
[services]
web.command = "{command}"
[plugins.esker.services.web]
user = "{user}"
{more}
"""
CHECKED = 'healthcheck = {{ test = "touch begun; false", start-period = "5m" }}'
ACTIVATE = "from esker.environment import Environment\nwith Environment('.'): pass"
WITH_SERVICES = "from esker.environment import Environment\nwith Environment('.', services=['web']): pass"
START = "from esker.environment import Environment\nEnvironment('.').services.start()"
FLOX = "from esker.flox import Flox\nwith Flox('.', services=['web']): pass"
DECORATED = """
from esker.flox import flox_required
def task(): pass
flox_required({project!r}, services=["web"])(task)()
"""
ASYNCHRONOUS = """
import asyncio
from esker.flox import Flox
async def main():
    async with Flox(".", services=["web"]): pass
asyncio.run(main())
"""
RUN = "from esker.environment import Environment\nEnvironment('.').run(['bash', '-c', 'touch begun; sleep 300; :'])"


@pytest.fixture
def silent():
    """Give the address of an index that takes connections and never answers, and an event for the first of them."""
    asked, taken = Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return
                asked.set()

        Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple", asked
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


@pytest.fixture
def around(environ, tmp_path):
    """Give the variables, with directories of their own for temporary files and sockets."""
    for name in ("temporary", "run"):
        (tmp_path / name).mkdir(mode=0o700)
    return environ | {"TMPDIR": str(tmp_path / "temporary"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def interrupted(around, tmp_path):
    """Give a function that runs a program, interrupts it when something is the case, and returns what it wrote."""

    def run(code, ready, *, cwd, whole_group=False, **variables):
        code = code.replace("{project!r}", repr(str(cwd)))
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=cwd,
            env=around | variables,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while not ready():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.01)
        family = process_table.family(process.pid)
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == -signal.SIGINT
        for pid, entry in family.items():
            with pidfd.opened(pid) as left:
                now = process_table.entry(pid)
                assert left is None or now is None or now.start != entry.start or pidfd.wait(left, 10), now
        assert [name for _, _, names in os.walk(tmp_path / "temporary") for name in names] == []
        return errors

    return run


def check_plain(errors):
    """Check that a traceback shows the program's own line, at most one call of ours, and the interruption."""
    assert errors.startswith("Traceback (most recent call last):\n"), errors
    assert errors.endswith("\nKeyboardInterrupt\n"), errors
    assert "During handling" not in errors
    assert "direct cause" not in errors
    assert "ignored in" not in errors
    files = re.findall(r'^  File "(.*?)"', errors, re.MULTILINE)
    assert files[0] == "<string>"
    assert {os.path.basename(file) for file in files[1:]} <= {"interruption.py", "decoration.py"}, errors


def service(command="sleep 300", more=""):
    """Return the text of a manifest with a service."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    return EMPTY + SERVICE.format(command=command, user=user, more=more)


def services_of(project, around):
    """Return what `esker services status` says, when no service is about to end any more."""
    until = time.monotonic() + 30
    while True:
        command = [sys.executable, "-m", "esker", "services", "status"]
        said = subprocess.run(command, cwd=project, env=around, capture_output=True, text=True, check=True).stdout
        if "Stopped" in said or time.monotonic() > until:
            return said
        time.sleep(0.1)


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "group"])
def test_interrupted_while_packages_are_locked(tmp_path, interrupted, silent, whole_group):
    """The resolver is ended; the temporary project is removed; nothing is locked."""
    address, asked = silent
    project = write_project(tmp_path, EMPTY + PYTHON)
    errors = interrupted(ACTIVATE, asked.is_set, cwd=project, whole_group=whole_group, UV_DEFAULT_INDEX=address)
    check_plain(errors)
    assert sorted(os.listdir(project / ".flox/env")) == ["manifest.toml"]
    assert not (project / ".flox/pylock.toml").exists()


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "group"])
def test_interrupted_while_packages_are_installed(tmp_path, interrupted, silent, index, around, whole_group):
    """The first try, from the cache alone, has failed before, which is not shown; nothing is left in the store."""
    address, asked = silent
    index.add("app", "1.0")
    project = write_project(tmp_path, EMPTY + PYTHON)
    subprocess.run([sys.executable, "-m", "esker", "lock"], cwd=project, env=around, check=True, capture_output=True)
    elsewhere = {"UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "other")}
    check_plain(interrupted(ACTIVATE, asked.is_set, cwd=project, whole_group=whole_group, **elsewhere))
    assert os.listdir(Store(around["ESKER_STORE"]).directory) == []


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "group"])
@pytest.mark.parametrize("code", [ACTIVATE, "from esker.flox import Flox\nFlox('.').activate(timeout=100)"])
def test_interrupted_while_a_hook_runs(tmp_path, interrupted, code, whole_group):
    """The hook's bash is ended, and the program that it waits for."""
    project = write_project(tmp_path, EMPTY + HOOK)
    check_plain(interrupted(code, (project / "begun").exists, cwd=project, whole_group=whole_group))


@pytest.mark.parametrize("code", [WITH_SERVICES, START, FLOX, DECORATED])
def test_interrupted_while_a_service_is_not_healthy_yet(tmp_path, interrupted, around, code):
    """What the call has started is stopped: nobody would use it."""
    project = write_project(tmp_path, service(more=CHECKED.format()))
    check_plain(interrupted(code, (project / "begun").exists, cwd=project))
    assert "Stopped" in services_of(project, around)


def test_interrupted_within_a_coroutine(tmp_path, interrupted, around):
    """`asyncio.run` says that it has cancelled the task, as it does for every coroutine; there is no more than that."""
    project = write_project(tmp_path, service(more=CHECKED.format()))
    errors = interrupted(ASYNCHRONOUS, (project / "begun").exists, cwd=project)
    assert errors.count("During handling") == 1
    assert "\nasyncio.exceptions.CancelledError\n" in errors
    assert "never retrieved" not in errors
    assert "ignored in" not in errors
    assert errors.endswith("\nKeyboardInterrupt\n")
    assert "Stopped" in services_of(project, around)


def test_interrupted_while_services_are_stopped(tmp_path, interrupted, around):
    """They stop all the same: their lease was given up, and ends with the program at the latest."""
    command = "trap 'touch begun' TERM; while :; do sleep 0.1; done"
    project = write_project(tmp_path, service(command, 'stop-grace-period = "2s"'))
    check_plain(interrupted(WITH_SERVICES, (project / "begun").exists, cwd=project))
    assert "Stopped" in services_of(project, around)


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "group"])
def test_interrupted_while_a_program_runs(tmp_path, interrupted, whole_group):
    """The program is ended, and what it has started."""
    project = write_project(tmp_path)
    check_plain(interrupted(RUN, (project / "begun").exists, cwd=project, whole_group=whole_group))


def test_interrupted_while_the_caller_handles_an_error(tmp_path, interrupted):
    """That error is the caller's own, and stays in the traceback; ours do not come into it."""
    project = write_project(tmp_path, EMPTY + HOOK)
    code = f"try:\n    raise ValueError('mine')\nexcept ValueError:\n    exec({ACTIVATE!r})"
    errors = interrupted(code, (project / "begun").exists, cwd=project)
    assert "ValueError: mine" in errors
    assert errors.count("During handling") == 1
    assert errors.endswith("\nKeyboardInterrupt\n")
