"""The real task runner that calls `flox`, unmodified from the package index, with Esker's `flox`."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = [pytest.mark.live("angreal"), pytest.mark.slow]

MANIFEST = """\
schema-version = "1.14.0"

[vars]
SPACES = " two  spaces "
DOLLAR = "\\\\$HOME \\\\${HOME} \\\\$(id)"
SEMICOLON = "a;b; export INJECTED=1"
EQUALS = "a=b==c"
UNICODE = "Grüße, 世界 🪨"
QUOTED = "it's"
BOTH = "it's a \\"quote\\""
LINES = "first\\nexport INJECTED=2"

[hook]
on-activate = 'export FROM_HOOK="kept"; unset TAKEN'

[plugins.esker.python]
dependencies = ["app"]

[services.clock]
command = "echo started; exec sleep 1000"
"""

ACTIVATE = """\
import json, os, sys
from angreal.integrations.flox import Flox

before = dict(os.environ)
flox = Flox(sys.argv[1])
flox.activate()
inside = dict(os.environ)
ran = flox.run("app", ["one", "two words"])
flox.deactivate()
after = dict(os.environ)
print(json.dumps({"before": before, "inside": inside, "after": after, "ran": ran}))
"""

SERVICES = """\
import json, os, sys
from angreal.integrations.flox import Flox

def told(found):
    return [one.as_tuple() for one in found]

before = dict(os.environ)
flox = Flox(sys.argv[1])
print(json.dumps({"version": Flox.version(), "available": Flox.is_available()}))
print(json.dumps(told(flox.services.status())))
handle = flox.services.start("clock")
print(json.dumps(told(handle.services)))
print(json.dumps(flox.services.logs("clock", tail=5)))
flox.services.restart("clock")
print(json.dumps(told(flox.services.status())))
handle.stop()
print(json.dumps(told(flox.services.status())))
try:
    flox.services.start("nonsense")
except RuntimeError as error:
    print(json.dumps(str(error)))
print(json.dumps(dict(os.environ) == before))
"""


@pytest.fixture
def client(flox, index, project):
    """Give a function that runs a program of the client on a project of its own, and returns the JSON it prints."""
    code = "import sys\ndef main(): print('app', sys.argv[1:])\n"
    index.add("app", "1.0", {"app.py": code}, scripts={"app": "app:main"})

    def run(program, manifest=MANIFEST, cwd="/"):
        directory = project(manifest)
        done = flox.run([sys.executable, "-c", program, str(directory)], cwd=cwd, TAKEN="before")
        assert (done.status, done.err) == (0, "")
        return directory, [json.loads(line) for line in done.out.splitlines()]

    return run


def test_the_client_activates_runs_and_puts_everything_back(client):
    """Values arrive unchanged, the profile's bin comes first on PATH, and afterwards every variable is as before."""
    directory, (found,) = client(ACTIVATE)
    inside = found["inside"]
    assert inside["PATH"].split(":")[0] == f"{inside['FLOX_ENV']}/bin"
    assert inside["FLOX_ENV"].startswith(f"{directory}/.flox/run/")
    assert inside["FLOX_ENV_PROJECT"] == str(directory)
    assert inside["SPACES"] == " two  spaces "
    assert inside["DOLLAR"] == "$HOME ${HOME} $(id)"
    assert inside["SEMICOLON"] == "a;b; export INJECTED=1"
    assert inside["EQUALS"] == "a=b==c"
    assert inside["UNICODE"] == "Grüße, 世界 🪨"
    assert inside["QUOTED"] == "it's"
    assert inside["FROM_HOOK"] == "kept"
    assert found["ran"] == [0, "app ['one', 'two words']\n", ""]
    assert found["after"] == found["before"]


def test_what_the_client_cannot_read_is_absent_and_never_wrong(client):
    """A value with both quotes or a newline fits no line that both a shell and the client read: the client has none."""
    _, (found,) = client(ACTIVATE)
    assert not {"BOTH", "LINES", "INJECTED"} & found["inside"].keys()


def test_the_client_has_services(client):
    """A process outside an activation starts, restarts, reads and stops services, and keeps its variables."""
    _, (said, never, started, log, again, stopped, refused, unchanged) = client(SERVICES)
    assert said == {"version": "1.14.1", "available": True}
    assert never == [["clock", "Stopped", None]]
    ((name, status, pid),) = started
    assert (name, status) == ("clock", "Running")
    assert log == "started\n"
    ((_, status, new),) = again
    assert status == "Running"
    assert new not in {None, pid}
    assert stopped[0][1:] == ["Stopped", None]
    assert "Service 'nonsense' does not exist." in refused
    assert unchanged


def test_the_client_sees_that_there_are_no_services(client):
    """An environment without services has an empty status."""
    program = "import json, sys; from angreal.integrations.flox import Flox; print(json.dumps(Flox(sys.argv[1]).services.status()))"
    assert client(program, manifest="version = 1\n")[1] == [[]]
