"""`esker services start` and `esker activate -s` begin the supervisor before they know what there is to start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from esker.host import pidfd, process_table
from esker.services.supervised.site import site_of
from esker.services.supervised.supervisor_record import RecordFile

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[hook]
on-activate = '''
  test ! -s .flox/cache/esker/lock || : > began-ahead
  test ! -e fails || exit 3
  test ! -e hangs || { : > hanging; exec sleep 1001; }
'''
[services.web]
command = "exec sleep 1000"
"""
ONESHOT = '[plugins.esker.services.web]\ntype = "oneshot"\n'


@pytest.fixture
def used(project, environ, esker):
    """Give a project in which services have run; at the end no process, socket or directory of them is left."""
    directory = project(MANIFEST)
    assert esker("services", "start").status == 0
    assert esker("services", "stop").status == 0
    assert not (directory / "began-ahead").exists()
    yield directory
    esker("services", "stop")
    assert left(directory, environ) == []


def left(project, environ):
    """Return the processes, the socket and the directory of a project's services, and what the record says."""
    site = site_of(str(project), f"{project}/.flox", environ.get("XDG_RUNTIME_DIR"))
    deadline = time.monotonic() + 10
    found = []
    for entry in process_table.entries():
        try:
            with open(f"/proc/{entry.pid}/cmdline", "rb") as file:
                is_one = f"{site.dot_flox}\0".encode() in file.read()
        except OSError:
            continue
        with pidfd.opened(entry.pid, entry.start) as descriptor:  # what a killed command has left ends by itself
            if is_one and descriptor is not None and not pidfd.wait(descriptor, deadline - time.monotonic()):
                found.append(entry)
    file = RecordFile(site.dot_flox)
    record = file.read()
    file.close()
    return [*found, *filter(os.path.lexists, (site.socket, site.runtime)), *([record] if record else [])]


def test_the_supervisor_is_there_before_the_hook_has_run(used, esker):
    """The second start from nothing begins it ahead; the first, where nothing has run before, did not."""
    done = esker("services", "start")
    assert (done.status, done.err.splitlines()[0]) == (0, "✔ Service 'web' started.")
    assert (used / "began-ahead").exists()
    assert esker("services", "status", "--json").out.count('"Running"') == 1


def test_a_failing_hook_leaves_nothing(used, environ, esker):
    """The supervisor that began ahead has ended, with its socket and its directory, when the command returns."""
    (used / "fails").touch()
    done = esker("services", "start")
    assert done.status != 0
    assert (used / "began-ahead").exists()
    assert left(used, environ) == []


def test_what_does_not_exist_leaves_nothing(used, environ, esker):
    """An unknown name, and a manifest that has become wrong, are told as they always were."""
    assert "service `absent` does not exist" in esker("services", "start", "absent").err
    assert left(used, environ) == []
    (used / ".flox" / "env" / "manifest.toml").write_text("[")
    assert "manifest.toml:1" in esker("services", "start").err
    assert left(used, environ) == []
    (used / ".flox" / "env" / "manifest.toml").write_text('schema-version = "1.14.0"\n')
    assert "does not have any services" in esker("services", "start").err
    assert left(used, environ) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_ended_in_its_hook_leaves_nothing(used, environ, number):
    """While the hook runs the supervisor is there already; it ends with the command."""
    (used / "hangs").touch()
    words = [sys.executable, "-m", "esker", "services", "start"]
    with subprocess.Popen(words, cwd=used, env=environ, stderr=subprocess.DEVNULL, process_group=0) as command:
        deadline = time.monotonic() + 20
        while not (used / "hanging").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(command.pid, number) if number == signal.SIGINT else command.send_signal(number)
    assert command.returncode != 0
    assert left(used, environ) == []


def test_two_commands_at_once_start_one_supervisor(used, environ):
    """Both succeed, and the services of both are the same."""
    words = [sys.executable, "-m", "esker", "services", "start"]
    commands = [subprocess.Popen(words, cwd=used, env=environ, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [command.communicate(timeout=60)[1] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    guardians = [entry for entry in process_table.entries() if entry.program == "esker-guardian"]
    here = [entry for entry in guardians if f"{used}/.flox".encode() in _words(entry.pid)]
    assert len(here) == 1


def _words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def test_an_activation_with_services_that_cannot_start_leaves_nothing(used, environ, esker):
    """`activate -s` begins it ahead as well, and releases it if the services fail."""
    (used / ".flox" / "env" / "manifest.toml").write_text(MANIFEST.replace("exec sleep 1000", "exit 3") + ONESHOT)
    assert esker("activate", "-s", "--", "true").status != 0
    assert left(used, environ) == []


def test_an_activation_with_services_leaves_nothing(used, environ, esker):
    """The services end with the command, and the supervisor with them."""
    script = "test -s .flox/cache/esker/lock && echo there"
    assert esker("activate", "-s", "--", "sh", "-c", script).out == "there\n"
    assert left(used, environ) == []
