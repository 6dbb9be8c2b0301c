"""What `activate -s -- CMD` does beside the command itself."""

from __future__ import annotations

import os

import pytest

from esker.cli import voice
from esker.cli.session import run_with_services
from esker.errors import HostError, ServiceError, TimedOut
from esker.services.chamber import Leased


@pytest.mark.parametrize("kind", [ServiceError, TimedOut, HostError])
def test_the_status_is_the_command_s_whatever_becomes_of_the_services(kind, capfd):
    """The supervisor may have been killed, be silent, or be out of reach: that is told, and no more."""

    def fail():
        raise kind("no answer")

    assert run_with_services((["sh", "-c", "exit 7"], os.environ), Leased((), fail), voice.ESKER) == 7
    assert capfd.readouterr() == ("", "! no answer\n")
