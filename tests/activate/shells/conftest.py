"""Fixtures of the tests in real shells."""

from __future__ import annotations

import pytest

from tests.support.shells import SHELLS, Person


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.name)
def person(request, environ, tmp_path):
    """Give somebody with `esker` on PATH, once for each kind of shell."""
    return Person(request.param, environ, tmp_path)
