"""A place for checkouts of examples, with a container engine."""

from __future__ import annotations

import pytest

from tests.support.containers.checkout import Place


@pytest.fixture(scope="module")
def place(_one_docker_engine):
    """Give a place for checkouts that the tests of one module share."""
    with Place(_one_docker_engine) as made:
        yield made
    _one_docker_engine.clear()
