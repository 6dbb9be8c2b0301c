"""Virtual environments in a directory of the test's own, with one small index, and a process that is as it was after."""

from __future__ import annotations

import os
import sys

import pytest

from esker.activate.active import PROCESS
from esker.host.uv import uv_program
from tests.support.package_index import wheel


@pytest.fixture
def wheels(tmp_path):
    """Give the directory of the wheels `tiny` and `other`, which uv knows alone."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    tiny = wheel("tiny", "1.0", {"tiny.py": "PLACE = __file__\n"}, scripts={"tiny": "tiny:run"})
    (directory / "tiny-1.0-py3-none-any.whl").write_bytes(tiny)
    (directory / "other-2.0-py3-none-any.whl").write_bytes(wheel("other", "2.0", {"other.py": ""}))
    return directory


@pytest.fixture
def place(tmp_path, environ, wheels, monkeypatch):
    """Give an empty current directory; uv is on PATH, and has those wheels.

    They come from a directory, because Angreal holds up all threads while uv runs, that of an index too.
    """
    for name, value in (environ | {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels)}).items():
        monkeypatch.setenv(name, value)
    path = [os.path.dirname(uv_program()), *os.environ["PATH"].split(":")]
    monkeypatch.setenv("PATH", ":".join(dict.fromkeys(path)))  # once each, as an activation leaves them
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def process(place):
    """Give a function that returns everything an activation may touch; after the test it has to be as it was before."""

    def state():
        variables = {name: os.environ.get(name) for name in ("PATH", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME")}
        return sys.prefix, sys.exec_prefix, list(sys.path), list(sys.meta_path), variables

    before = state()
    yield state
    for key in list(PROCESS.holders):
        while key in PROCESS.holders:
            PROCESS.leave(key)()
    assert state() == before
