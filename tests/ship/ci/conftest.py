"""The hosts and the repositories of the runs of workflows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def machines(_one_docker_engine, tmp_path_factory):
    """Give the hosts with their machines."""
    directory = tmp_path_factory.mktemp("machines")
    for each in (directory, directory.parent):
        each.chmod(0o755)
    from tests.support.ci.hosts import Machines

    yield Machines(_one_docker_engine, directory)
    _one_docker_engine.clear()


@pytest.fixture(scope="module")
def repositories():
    """Give a place for repositories, which jobs have at the same place.

    A pytest that root runs in a job closes its own temporary directory to the users of services, so it is not there.
    """
    from tests.support.ci.repositories import Repositories

    with tempfile.TemporaryDirectory(prefix="esker-ci-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Repositories(Path(directory))
