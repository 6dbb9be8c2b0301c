"""`esker services start --data-from`: a second worktree begins with the data of the first, and has its own from then on."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

pytestmark = pytest.mark.slow

SERVER = """\
import http.server, os
os.chdir(os.environ["DATA"])
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
MANIFEST = """\
schema-version = "1.14.0"
[vars]
DATA = "$FLOX_ENV_CACHE/data"
[services.web]
command = 'mkdir -p "$DATA" && echo "$FLOX_ENV_PROJECT" >>"$DATA/starts" && exec "$PYTHON_OF_THE_TEST" server.py'
[plugins.esker.services.web]
healthcheck = { http = "http://127.0.0.1:$PORT/starts" }
ports = { PORT = 0 }
pass-env = ["PYTHON_OF_THE_TEST"]
"""


@pytest.fixture
def trees(project, environ, esker):
    """Give two checkouts of a project with a server, `project` and `second`; whatever still runs is stopped."""
    environ["PYTHON_OF_THE_TEST"] = os.path.realpath(sys.executable)
    first = project(MANIFEST)
    (first / "server.py").write_text(SERVER)
    second = first.parent / "second"
    shutil.copytree(first, second)
    yield first, second
    for directory in (first, second):
        esker("services", "stop", cwd=directory)


def starts(directory):
    """Return which checkouts have started their server on the data of one."""
    return (directory / ".flox/cache/data/starts").read_text().split()


def test_a_second_checkout_has_ports_and_data_of_its_own(esker, trees):
    """Both run at once; neither sees the other's data."""
    for directory in trees:
        assert esker("services", "start", cwd=directory).status == 0
    assert [starts(directory) for directory in trees] == [[str(directory)] for directory in trees]
    ports = [json.loads(esker("services", "ports", "--json", cwd=directory).out)["PORT"] for directory in trees]
    assert ports[0] != ports[1]


def test_the_data_of_a_stopped_sibling_are_copied_once(esker, trees):
    """The second begins where the first has stopped, and then each goes its own way; the copy is not repeated."""
    first, second = trees
    esker("services", "start", cwd=first)
    done = esker("services", "start", "--data-from", "../project", cwd=second)
    assert (done.status, done.out) == (1, "")
    assert "so that its data change while they are copied" in done.err
    assert f"esker services stop -d {first}" in done.err
    assert "code: data-not-copied" in done.err
    assert not (second / ".flox/cache/data").exists()
    esker("services", "stop", cwd=first)
    done = esker("services", "start", "--data-from", "../project", cwd=second)
    assert done.status == 0
    assert done.err.startswith("✔ Copied the data of `../project`: data\n✔ Service 'web' started.\n")
    assert starts(second) == [str(first), str(second)]
    assert starts(first) == [str(first)]
    esker("services", "stop", cwd=second)
    done = esker("services", "start", "--data-from", "../project", cwd=second)
    assert done.status == 1
    assert "there are data here already: `data` in" in done.err
    assert starts(second) == [str(first), str(second)]


def test_a_copy_that_was_cut_off_is_finished_before_services_start(esker, trees):
    """The server meets all of the data, whichever command starts it next."""
    _, second = trees
    left = second / ".flox/cache/esker/data-from/data"
    left.mkdir(parents=True)
    (left / "starts").write_text("earlier\n")
    done = esker("activate", "-s", "--", "cat", ".flox/cache/data/starts", cwd=second)
    assert done.out.split() == ["earlier", str(second)], done.err
