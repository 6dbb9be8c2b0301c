"""The engines, one test after the other, and projects whose services are stopped after a test."""

from __future__ import annotations

import pytest

from esker.activate.active import PROCESS
from esker.flox import Flox, FloxServices
from tests.support.engines import SERVICES, running


@pytest.fixture(params=["flox", "native"])
def engine(request, monkeypatch, stand_in, environ):
    """Choose the engine through `ESKER_ENGINE`, with a home and a store of its own."""
    for name in ("HOME", "ESKER_STORE", "UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_HTTP_RETRIES"):
        monkeypatch.setenv(name, environ[name])
    monkeypatch.setenv("ESKER_ENGINE", request.param)
    return request.param


@pytest.fixture
def project(engine, stand_in):
    """Give a function that makes a project; whatever a test starts there has ended after the test."""
    made = []

    def make(manifest=SERVICES, name="project"):
        made.append(stand_in.project(manifest, name))
        made[-1].chmod(0o755)
        return made[-1]

    yield make
    active = list(PROCESS.holders)
    for key in active:  # what a failed test has left must not spoil the next one
        while key in PROCESS.holders:
            PROCESS.leave(key)()
    assert active == []
    left = [each for each in made if (each / ".flox").is_dir() and running(Flox(each))]
    for each in left:
        FloxServices(each).stop()
    assert left == []
