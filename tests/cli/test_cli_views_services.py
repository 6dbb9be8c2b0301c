"""What a person sees on a terminal while services start, and that it is gone afterwards."""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from esker.cli import voice
from esker.cli.views.drawing import Drawing, _fitting
from esker.cli.views.service_notes import say_killed
from esker.cli.views.services import reason, table
from esker.declare.declaration import JoinedCondition
from esker.services.status import Killed, ServiceStatus
from tests.support.terminal import Screen, on_a_terminal

SERVICES = 6
MANIFEST = 'schema-version = "1.14.0"\n' + "".join(
    f"[services.s{number}]\ncommand = 'exec sleep 1000'\n" for number in range(SERVICES)
)
NEVER = """\
[services.web]
command = 'exec sleep 1000'
[plugins.esker.services.web]
healthcheck = { test = "echo no answer yet; exit 1", start-interval = "100ms", start-period = "1m" }
"""
ESKER = [sys.executable, "-m", "esker"]


@pytest.fixture
def terminal(environ, project, esker):
    """Give a function that runs `esker` on a terminal, in a project with services, and returns what it receives."""
    # Nobody's terminal has an unbuffered Python behind it: what waits in a buffer must show in these tests.
    assert "PYTHONUNBUFFERED" not in environ

    def run(*arguments, manifest=MANIFEST, typed=(), term="xterm-256color"):
        directory = project(manifest)
        return on_a_terminal([*ESKER, *arguments], environ={**environ, "TERM": term}, cwd=directory, typed=typed)

    yield run
    esker("services", "stop")


@pytest.mark.parametrize(
    ("asked", "container", "told"),
    [
        ("SIGINT", None, "2 s of SIGINT, and was killed (see `stop-signal` and `stop-grace-period`)"),
        (None, None, "2 s of its shutdown command, and was killed (see `shutdown.command` and `stop-grace-period`)"),
        (
            "SIGTERM",
            "shop-db-1",
            "2 s of SIGTERM, and was killed (see `stop_signal` and `stop_grace_period` in the Compose file)",
        ),
    ],
)
def test_what_was_killed_is_told_with_what_can_be_changed(capsys, asked, container, told):
    """The manifest says how a process is stopped, and the Compose file how a container is."""
    say_killed([None, Killed(service="db", signal=asked, seconds=2.0, container=container)], voice.ESKER)
    assert capsys.readouterr() == ("", f"! Service 'db' did not end within {told}\n")


@pytest.mark.parametrize("condition", [word for words in get_args(JoinedCondition) for word in get_args(words)])
def test_what_a_service_waits_for_is_said_of_every_condition(condition):
    """Also of the one that only the newer manifests of Flox have."""
    told = reason(ServiceStatus(name="api", status="Pending", waits_for={"db": condition}))
    assert told.startswith("waits for `db` to ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("--", "seq", "1", "30"), ("-c", "seq 1 30")],
)
def test_the_table_of_starting_services_leaves_the_output_of_the_command_alone(terminal, command):
    """Each line that the command prints is still on the screen when Esker has ended."""
    received = terminal("activate", "-s", *command)
    assert "s5" in received
    lines = Screen(received).lines
    assert lines[-30:] == [*map(str, range(1, 31))]
    assert not any("STATUS" in line for line in lines)


@pytest.mark.slow
def test_the_last_lines_of_an_interactive_shell_stay(terminal, environ):
    """After an interactive shell with services has ended, what it printed is still there."""
    environ["SHELL"] = "/bin/bash"
    received = terminal("activate", "-s", typed=[("deactivate'", "seq 101 108; exit\r")])
    lines = Screen(received).lines
    assert [line for line in lines if line in map(str, range(101, 109))] == [*map(str, range(101, 109))]
    assert not any("STATUS" in line for line in lines)


@pytest.mark.slow
def test_a_dumb_terminal_gets_no_control_sequences(terminal):
    """A terminal that cannot move its cursor gets the command's output, and no table."""
    assert terminal("activate", "-s", "--", "echo", "HELLO", term="dumb").split("\r\n")[-2:] == ["HELLO", ""]


@pytest.mark.slow
def test_an_interrupted_start_leaves_no_remains_of_the_table(terminal):
    """Ctrl-C while services start removes the whole table before the message."""
    received = terminal("services", "start", manifest=MANIFEST + NEVER, typed=[(" 1s", "\x03")])
    assert "HEALTH" in received
    lines = [line for line in Screen(received).lines if line]
    assert lines == ["^Cinterrupted"]


@pytest.mark.slow
def test_an_interrupted_command_leaves_the_prompt_a_line_of_its_own(terminal, project, environ):
    """Ctrl-C while the command runs: the shell that called Esker sees the interrupt, and starts a new line."""
    run = f"{sys.executable} -m esker activate -s -- sh -c"
    loop = f'for each in 1 2; do {run} "echo RUN$each; exec sleep 60"; done\r'
    directory = project(MANIFEST)
    received = on_a_terminal(
        ["bash", "--noprofile", "--norc", "--noediting", "-i"],
        environ=environ | {"TERM": "xterm-256color", "PS1": "PROMPT> "},
        cwd=directory,
        typed=[("PROMPT> ", loop), ("RUN1", "\x03"), ("\nPROMPT> ", "exit\r")],
    )
    lines = Screen(received).lines
    assert lines[lines.index("RUN1") :] == ["RUN1", "^C", "PROMPT> exit", "exit"]


@pytest.mark.slow
def test_the_table_says_how_long_a_service_has_run_and_what_is_wrong(terminal):
    """While a service is not healthy, its uptime goes on, and what its health check found is shown."""
    received = terminal("services", "start", manifest=MANIFEST + NEVER, typed=[(" 2s", "\x03")])
    assert "! web: " in received
    assert "no answer yet" in received


def test_text_that_others_write_meanwhile_is_never_erased(monkeypatch):
    """What is typed, or printed by a program in the background, stays whole while the table is redrawn and removed."""
    screen, drawing = Screen("$ esker services start\r\n" * 22), Drawing()
    monkeypatch.setattr("esker.cli.views.drawing._write", screen.write)
    monkeypatch.setattr("esker.cli.views.drawing._terminal_size", lambda: (80, 24))
    drawing.draw(["NAME", "one"])
    screen.write("ls")
    drawing.draw(["NAME", "one", "two"])
    assert screen.lines[22:] == ["ls", "NAME", "one", "two"]
    screen.write("\r\na line of a program in the background\r\n")
    drawing.draw(["NAME", "one", "two", "three"])
    screen.write("half")
    drawing.erase()
    assert screen.lines[22:] == ["ls", "a line of a program in the background", "half"]


@pytest.mark.parametrize(
    ("columns", "rows", "drawn"),
    [
        (80, 24, ["NAME", "one", "two", "three is longer"]),
        (5, 24, ["NAME", "one", "two", "three"]),
        (80, 4, ["NAME", "one", "… and 2 more: see esker services status"]),
        (80, 5, ["NAME", "one", "two", "three is longer"]),
    ],
)
def test_what_is_redrawn_fits_the_terminal(columns, rows, drawn):
    """The rows below the cursor have room on the terminal: one that scrolls would move the cursor's text away."""
    assert _fitting(["NAME", "one", "two", "three is longer"], columns, rows) == drawn


WAITING = """\
[services.database]
command = 'exec sleep 1000'
[services.web]
command = 'exec sleep 1000'
[plugins.esker.services.database]
healthcheck = { test = "exit 1", start-interval = "100ms", start-period = "1m" }
[plugins.esker.services.web]
depends-on = { database = "service_healthy", s0 = "service_started" }
"""


@pytest.mark.slow
def test_the_table_says_what_a_pending_service_waits_for(terminal):
    """Below the table stand the dependencies whose conditions do not hold yet, and no others."""
    received = terminal("services", "start", manifest=MANIFEST + WAITING, typed=[(" 1s", "\x03")])
    assert "! web: waits for `database` to be healthy\r\n" in received.replace("\x1b[?7h", "\r\n")


@pytest.mark.slow
def test_watching_leaves_the_table_below_its_title_and_no_blank_line(terminal):
    """When no service runs, watching ends and the last table stays, directly below the line that said what it is."""
    received = terminal("services", "status", "--watch")
    lines = Screen(received).lines
    assert lines[0] == "The services as they change; Ctrl-C ends this"
    assert [line.split()[0] for line in lines[1:]] == ["NAME", *(f"s{number}" for number in range(SERVICES))]


def test_the_names_of_containers_are_one_column_however_often_a_table_is_drawn():
    """A table is drawn again and again while services start."""
    statuses = [ServiceStatus(name="db", container="shop-db-1"), ServiceStatus(name="api")]
    for _ in range(3):
        drawn = table(statuses, voice.ESKER)
    assert [line.split()[-1] for line in drawn.split("\n")] == ["CONTAINER", "shop-db-1", "-"]
    assert "CONTAINER" not in table(statuses[1:], voice.ESKER)


def test_a_table_of_no_services_has_its_head():
    """An environment may have services that nobody can name now."""
    assert table([], voice.ESKER) == "NAME       STATUS      PID HEALTH    PORTS                UPTIME"
