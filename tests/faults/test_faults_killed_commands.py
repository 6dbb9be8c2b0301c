"""A command that is killed leaves nothing that the next commands do not put in order."""

from __future__ import annotations

import pytest

from tests.faults.commands import COMMANDS, killed_command
from tests.faults.killed_command import faults

pytestmark = [pytest.mark.live("faults"), pytest.mark.slow]

_KILLS = 6
"""Kills of each command, from its first to its last; `python -m tests.faults` takes all of them."""


@pytest.mark.parametrize("name", COMMANDS)
def test_after_a_kill_at_any_system_call_all_is_as_if_nothing_had_happened(name, tmp_path):
    """The next commands succeed, say nothing that could lose data, and leave the same files as without the kill."""
    with killed_command(name, tmp_path) as command:
        kills = command.kills()
        assert len(kills) > _KILLS
        chosen = [kills[number * (len(kills) - 1) // (_KILLS - 1)] for number in range(_KILLS)]
        whole = command.whole()
        found = [fault for aftermath in command.killed(chosen) for fault in faults(whole, aftermath)]
    assert found == []
