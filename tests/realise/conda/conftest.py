"""What the tests of conda packages share: a channel, and a function that makes a prefix of its packages."""

from __future__ import annotations

import pytest


@pytest.fixture
def channel():
    """Give a conda channel on loopback, empty."""
    from tests.support.conda_channel import CondaChannel

    with CondaChannel() as served:
        yield served


@pytest.fixture
def prefix_of(channel, environ, store):
    """Give a function that serves packages and makes a prefix of them, in their order."""
    from rattler import Client

    from esker.realise.conda.prefix import conda_prefix
    from esker.settings import Settings

    def made(*packages, into=store, name="test", client=Client, progress=None, **variables):
        locked = [channel.locked(channel.add(each)) for each in packages]
        with into.using():
            return conda_prefix(into, name, locked, client, Settings({**environ, **variables}), progress)

    return made
