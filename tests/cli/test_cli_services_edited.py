"""An edited manifest meets running services: they are named, and started anew when somebody asks for it."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[vars]
COLOUR = "red"
[services]
web.command = "echo old $COLOUR; exec sleep 1000"
api.command = "exec sleep 1000"
prepare.command = 'echo "$COLOUR" >> "$FLOX_ENV_CACHE/prepared"'
[plugins.esker.services.prepare]
type = "oneshot"
"""
EDITED = (
    "! {} still run{} as defined before the manifest was edited or its ports renewed: "
    "`esker services start --recreate` applies the edit"
)


@pytest.fixture
def edited(esker, project):
    """Give a project whose services run, and a function that changes its manifest."""
    directory = project(MANIFEST)
    assert esker("services", "start").status == 0

    def edit(old, new):
        path = directory / ".flox/env/manifest.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    yield edit
    esker("services", "stop")


@pytest.fixture
def states(esker):
    """Give a function that returns the state of each service by its name."""
    return lambda: {one["name"]: one for one in json.loads(esker("services", "status", "--json").out)}


def told(done):
    """Return the messages of a command that has succeeded, without notes on the user that services run as."""
    assert done.status == 0, done.err
    return [line for line in done.err.splitlines() if "root's rights" not in line]


def test_start_names_what_runs_by_an_earlier_definition(esker, edited, states):
    """`status` marks it; `start` leaves it running, and says how to apply the edit."""
    assert told(esker("services", "start", "web")) == ["! Service 'web' is already running."]
    edited("echo old", "echo new")
    message = EDITED.format("`web`", "s")
    assert told(esker("services", "start", "web")) == ["! Service 'web' is already running.", message]
    assert told(esker("services", "status")) == [message]
    assert [name for name, state in states().items() if state["outdated"]] == ["web"]
    assert esker("services", "logs", "web").out == "old red\n"


def test_recreate_restarts_what_has_changed_and_nothing_else(esker, edited, states):
    """As Compose's `up` does."""
    before = states()
    edited("echo old", "echo new")
    assert told(esker("services", "start", "--recreate")) == [
        "! Service 'api' is already running.",
        "! Service 'prepare' has completed already.",
        "✔ Service 'web' restarted.",
    ]
    after = states()
    assert after["api"]["pid"] == before["api"]["pid"]
    assert after["web"]["pid"] != before["web"]["pid"]
    assert esker("services", "logs", "-n", "1", "web").out == "new red\n"
    assert told(esker("services", "status")) == []


def test_restart_of_one_service_applies_its_edit(esker, edited, states):
    """The others run on, and are still marked if they were edited too."""
    pid = states()["api"]["pid"]
    edited("echo old", "echo new")
    edited('api.command = "exec', 'api.command = "true; exec')
    assert told(esker("services", "status")) == [EDITED.format("`api`, `web`", "")]
    assert told(esker("services", "restart", "web")) == ["✔ Service 'web' restarted."]
    assert esker("services", "logs", "-n", "1", "web").out == "new red\n"
    assert states()["api"]["pid"] == pid
    assert told(esker("services", "status")) == [EDITED.format("`api`", "s")]


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("""'echo "$COLOUR" >>""", """'echo "dark $COLOUR" >>""", "red\ndark red\n"),
        ('COLOUR = "red"', 'COLOUR = "blue"', "red\nblue\n"),
        ('type = "oneshot"', 'type = "oneshot"\nmax-restarts = 4', "red\nred\n"),
        ("echo old", "echo new", "red\n"),
    ],
    ids=["command", "vars", "table", "another service"],
)
def test_a_completed_oneshot_whose_inputs_changed_runs_again(esker, project, edited, old, new, result):
    """Its command, its table and `[vars]` are its inputs; an edit of another service is none."""
    edited(old, new)
    assert esker("services", "start").status == 0
    assert esker("activate", "--", "sh", "-c", 'cat "$FLOX_ENV_CACHE/prepared"').out == result


def test_services_that_depend_on_a_changed_oneshot_do_not_hide_it(esker, edited):
    """The changed oneshot runs again as a dependency of what was named, and that is said."""
    edited(
        "[plugins.esker",
        '[plugins.esker.services.web]\ndepends-on = { prepare = "service_completed_successfully" }\n[plugins.esker',
    )
    edited("""'echo "$COLOUR" >>""", """'echo "dark $COLOUR" >>""")
    lines = told(esker("services", "start", "web"))
    assert lines[:2] == ["✔ Service 'prepare' started.", "! Service 'web' is already running."]


def test_an_edit_of_the_variables_marks_every_service(esker, edited):
    """They run with the earlier values of `[vars]`; `activate -s` says so as well."""
    edited('COLOUR = "red"', 'COLOUR = "blue"')
    message = EDITED.format("`api`, `web`", "")
    assert told(esker("services", "status")) == [message]
    skipped = "! Skipped starting services, services are already running"
    assert told(esker("activate", "-s", "--", "true")) == [skipped, message]
    assert esker("services", "start", "--recreate").status == 0
    assert esker("services", "logs", "-n", "1", "web").out == "old blue\n"


def test_new_ports_mark_the_service_that_has_them(esker, edited):
    """`services ports --renew` takes effect when the service is started anew."""
    edited("[plugins", "[plugins.esker.services.api]\nports = { API_PORT = 0 }\n[plugins")
    assert esker("services", "start", "--recreate").status == 0
    assert told(esker("services", "status")) == []
    assert esker("services", "ports", "--renew").status == 0
    assert told(esker("services", "status")) == [EDITED.format("`api`", "s")]


def test_a_service_that_the_manifest_no_longer_declares_is_named(esker, edited):
    """`status` shows it for as long as it runs, and says how to stop it."""
    edited('api.command = "exec sleep 1000"\n', "")
    mend = "`esker services stop api` stops it"
    assert told(esker("services", "status")) == [f"! `api` still runs, but the manifest no longer declares it: {mend}"]
    assert re.search("^api +Running", esker("services", "status").out, re.MULTILINE)
    assert told(esker("services", "stop", "api")) == ["✔ Service 'api' stopped"]
    assert told(esker("services", "status")) == []


def test_the_flox_command_says_nothing_of_its_own(flox, edited):
    """Flox does not mark services; after an edit it restarts one as it was defined."""
    edited("echo old", "echo new")
    assert flox("services", "start", "web") == (0, "", "! Service 'web' is already running.\n")
    assert flox("services", "status").err == ""
    assert flox("services", "restart", "web").status == 0
    assert flox("services", "logs", "-n", "1", "web").out == "old red\n"
