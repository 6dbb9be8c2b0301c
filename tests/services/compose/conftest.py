"""Checkouts with services in containers, on an engine of the tests' own."""

from __future__ import annotations

import pytest

from tests.support.containers.checkout import Place


@pytest.fixture
def place(docker_engine):
    """Give a place for checkouts, of which nothing is left after the test."""
    with Place(docker_engine) as made:
        yield made


@pytest.fixture(scope="module")
def shared_place(_one_docker_engine):
    """Give a place for checkouts that the tests of one module share."""
    with Place(_one_docker_engine) as made:
        yield made
    _one_docker_engine.clear()
