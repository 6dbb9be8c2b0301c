from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import get_args

import pytest

from esker.services.specification import ServiceSpec
from esker.services.states import ACTIVE, TRANSITIONS, State
from esker.services.supervised.process_service import ProcessService
from tests.support.service_logs import log_file

DOCUMENT = Path(__file__).parents[2] / "docs/concepts/services.md"


def test_every_state_is_in_the_table():
    """Each has its line, and each but the first can be reached; what is active can always be stopped."""
    states = set(get_args(State))
    assert TRANSITIONS.keys() == states
    assert set().union(*TRANSITIONS.values()) == states
    assert all("Terminating" in TRANSITIONS[state] for state in states - {"Stopped", "Terminating"})
    assert all("Pending" in TRANSITIONS[state] for state in states - ACTIVE)


def test_the_document_shows_the_same_table():
    """docs/concepts/services.md names the states in the same order, each with the same ones to follow."""
    rows = re.findall(r"^\| `([A-Z][a-z]+)` \| .* \| (`.*`) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert [state for state, _ in rows] == list(get_args(State))
    assert {state: set(re.findall(r"`(\w+)`", after)) for state, after in rows} == TRANSITIONS


def test_a_transition_that_is_not_in_the_table_is_a_fault(tmp_path):
    """The one place that sets a state refuses it."""

    async def skip():
        service = ProcessService(
            ServiceSpec(name="web", command=""), None, log_file(str(tmp_path / "web.log")), lambda _: None
        )
        service._become("Pending")
        service._become("Pending")
        with pytest.raises(AssertionError, match="Pending -> Completed"):
            service._become("Completed")

    asyncio.run(skip())
