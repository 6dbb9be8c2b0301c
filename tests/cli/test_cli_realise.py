"""`esker store` as a command: what it says of names that are no paths of the store."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "path-info"])
def test_a_path_that_the_store_does_not_have_is_an_error_of_its_own(esker, project, command):
    """A mistyped name is not counted as damaged, and the error says what to do."""
    project()
    done = esker("store", command, "NOPE")
    assert (done.status, done.out) == (1, "")
    assert "`NOPE` is not a path of the store" in done.err
    assert "hint: see what there is: esker store path-info" in done.err
    assert "damaged" not in done.err
    assert "code: not-found" in done.err
