"""Services take part in a start: as long as they run, the hook that ran before them does not run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from esker.activate.starts import registry
from esker.host import pidfd, process_table
from esker.host.runtime_directory import environment_directory

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.15.0"
[hook]
on-activate = 'echo ran >&2; export A=one'
[services]
web.command = "exec sleep 1000"
"""
ENDED = "on-deactivate = 'echo ended >> \"$FLOX_ENV_CACHE/ended\"'\n"
ON_DEACTIVATE = MANIFEST.replace("[services]\n", ENDED + "[services]\n")
OUTRUN = (
    "! The hook has run, because `project` has changed since its services were started. They still have the earlier "
    "variables: `esker services restart` gives them the new ones\n"
)
SHOW = ("activate", "--", "sh", "-c", "echo $A")


@pytest.fixture
def environ(environ, tmp_path):
    """Give the variables with a runtime directory of the test's own, unless the user is root."""
    (tmp_path / "run").mkdir(0o700)
    return environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def esker(esker):
    """Give the command without the note about the rights of a service that root starts in a directory of root's."""

    def run(*arguments):
        done = esker(*arguments)
        lines = done.err.splitlines(keepends=True)
        return done._replace(err="".join(line for line in lines if not line.startswith("! `web` runs with root's")))

    return run


@pytest.fixture
def services(esker, project):
    """Give a function that makes a project; services that still run after the test are stopped."""
    yield project
    esker("services", "stop")


@pytest.fixture
def recorded(environ):
    """Give a function that returns the files of a project's starts."""

    def files(directory):
        place = registry.registry_path(environment_directory(f"{directory}/.flox", environ["XDG_RUNTIME_DIR"]))
        return [name for name in os.listdir(os.path.dirname(place)) if name.startswith(os.path.basename(place))]

    return files


@pytest.fixture
def members(environ):
    """Give a function that returns the starts of a project, and waits for the watcher of each after `end`."""

    def starts(directory, end=None):
        place = registry.registry_path(environment_directory(f"{directory}/.flox", environ["XDG_RUNTIME_DIR"]))
        with registry.locked_starts(place) as running:
            found = list(running)
        if end is not None:
            watchers = [start.keeper.process.open() for start in found]
            end()
            for watcher in watchers:
                assert watcher is None or pidfd.wait(watcher, 20)
        return found

    return starts


def edit(directory, old, new):
    """Change a project's manifest."""
    path = directory / ".flox/env/manifest.toml"
    path.write_text(path.read_text().replace(old, new))


def test_the_hook_runs_once_while_a_started_service_stays(esker, services):
    """Whoever activates while services run takes over what the hook has set, in every form of the command."""
    services(MANIFEST)
    assert esker("services", "start") == (0, "", "ran\n✔ Service 'web' started.\n")
    assert esker(*SHOW) == (0, "one\n", "")
    assert esker("activate", "-c", "echo $A") == (0, "one\n", "")
    assert esker("activate", "-s", "-c", "echo $A").out == "one\n"
    assert esker("services", "start").err == "! Service 'web' is already running.\n"
    assert esker("services", "restart") == (0, "", "✔ Service 'web' restarted.\n")
    assert esker("services", "stop").status == 0
    assert esker(*SHOW) == (0, "one\n", "ran\n")


def test_a_hook_that_stops_the_server_leaves_a_started_one_alone(esker, services):
    """A published hook ends a server that an earlier session left behind: it did so at every activation."""
    hook = 'if [ -f "$FLOX_ENV_CACHE/pid" ]; then kill "$(cat "$FLOX_ENV_CACHE/pid")"; fi'
    services(
        f"schema-version = \"1.15.0\"\n[hook]\non-activate = '{hook}'\n"
        "[services]\nweb.command = 'echo $$ > \"$FLOX_ENV_CACHE/pid\"; exec sleep 1000'\n"
    )
    assert esker("services", "start").status == 0
    assert esker("activate", "--", "true").status == 0
    assert esker("services", "wait", "--for", "stopped", "--timeout", "0.3").status == 124


def test_services_that_a_program_started_take_part_too(esker, environ, services):
    """A Python program has started them, and has ended; `Environment` elsewhere attaches as the command does."""
    directory = services(MANIFEST)
    code = "from esker import Environment; Environment('.').services.start()"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr) == (0, "ran\n")
    assert esker(*SHOW) == (0, "one\n", "")
    code = "from esker import Environment; print(Environment('.').variables()['A'])"
    used = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert (used.stdout, used.stderr) == ("one\n", "")


def test_services_that_a_shell_started_keep_its_start(esker, services):
    """The command that ran `services start` within its activation has ended, and the start goes on."""
    services(MANIFEST)
    inside = f"{sys.executable} -m esker services start 2>&1"
    assert esker("activate", "--", "sh", "-c", inside).err == "ran\n"
    assert esker(*SHOW) == (0, "one\n", "")


def test_the_hook_at_the_end_runs_when_the_services_have_stopped(esker, services, members, recorded):
    """`hook.on-deactivate` waits for the supervisor, and does not run after each command beside the services."""
    directory = services(ON_DEACTIVATE)
    ended = directory / ".flox/cache/ended"
    assert esker("services", "start").err.startswith("ran\n")
    assert esker(*SHOW) == (0, "one\n", "")
    assert not ended.exists()
    members(directory, end=lambda: esker("services", "stop"))
    assert ended.read_text() == "ended\n"
    assert recorded(directory) == []


def test_what_a_hook_exported_is_removed_with_the_services(esker, services, members, recorded):
    """A start without `hook.on-deactivate` gets a watcher with its services, which removes the exported values."""
    directory = services(MANIFEST)
    esker("services", "start")
    assert len(recorded(directory)) == 2
    members(directory, end=lambda: esker("services", "stop"))
    assert recorded(directory) == []


def test_the_hook_runs_again_after_the_supervisor_was_killed(esker, services, members):
    """A killed supervisor is attached no more."""
    directory = services(MANIFEST)
    esker("services", "start")
    supervisor = members(directory)[0].members[0].process
    with pidfd.opened(process_table.entry(supervisor.pid).parent) as guardian:
        os.kill(supervisor.pid, signal.SIGKILL)
        assert guardian is None or pidfd.wait(guardian, 20)
    assert esker(*SHOW) == (0, "one\n", "ran\n")


def test_after_an_edit_the_hook_runs_again_and_says_so(esker, services, members):
    """Only a start of the same plan is joined; once the services are restarted, theirs is."""
    directory = services(MANIFEST)
    esker("services", "start")
    edit(directory, "A=one", "A=two")
    assert esker(*SHOW) == (0, "two\n", "ran\n" + OUTRUN)
    assert esker("services", "restart") == (0, "", "ran\n✔ Service 'web' restarted.\n")
    assert esker(*SHOW) == (0, "two\n", "")
    assert len(members(directory)) == 1


def test_after_an_edit_both_hooks_at_the_end_wait_for_the_services(esker, services, members):
    """The earlier start's `hook.on-deactivate` could stop what was restarted, so it runs when the supervisor leaves."""
    directory = services(ON_DEACTIVATE)
    ended = directory / ".flox/cache/ended"
    esker("services", "start")
    edit(directory, "A=one", "A=two")
    esker("services", "restart")
    assert esker(*SHOW) == (0, "two\n", "")
    assert not ended.exists()
    members(directory, end=lambda: esker("services", "stop"))
    assert ended.read_text() == "ended\nended\n"


def test_an_edit_of_a_service_alone_runs_no_hook(esker, services):
    """What a service runs is no part of the plan."""
    directory = services(MANIFEST)
    esker("services", "start")
    edit(directory, "sleep 1000", "sleep 2000")
    assert esker(*SHOW) == (0, "one\n", "")


def test_services_alone_clash_with_no_mode(esker, services):
    """The other mode is another plan, whose hook runs; a shell or command of the other mode still clashes."""
    services(MANIFEST)
    esker("services", "start")
    assert esker("activate", "-m", "run", "--", "sh", "-c", "echo $A") == (0, "one\n", "ran\n")
    assert esker("activate", "-m", "run", "-s", "--", "true").status == 0
    assert esker(*SHOW) == (0, "one\n", "")


@pytest.mark.parametrize("form", [("--", "sh", "-c", "echo $A"), ("-c", "echo $A")])
def test_a_fresh_activation_runs_the_hook_regardless(esker, services, form):
    """`--fresh` makes a new start beside the one of the services, or within an activation."""
    services(MANIFEST)
    esker("services", "start")
    assert esker("activate", "--fresh", *form) == (0, "one\n", "ran\n")
    assert esker("activate", *form) == (0, "one\n", "")
    inside = f"{sys.executable} -m esker activate --fresh -- true"
    assert esker("activate", "-c", inside) == (0, "", "ran\n")


def test_a_fresh_activation_in_place_can_be_undone(esker, environ, services):
    """It takes the place of the earlier activation of the shell, so that one `deactivate` leaves both."""
    directory = services(MANIFEST.replace("A=one", "A=${NEXT-one} ${NEXT-B}=x"))
    program = f"{sys.executable} -m esker"
    script = (
        f'eval "$({program} activate)"; echo $A; export NEXT=C; eval "$({program} activate --fresh)"; echo $A $B$C; '
        f'eval "$({program} deactivate)"; echo "[$A$B$C]"'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("one\nC x\n[]\n", "ran\nran\n")
