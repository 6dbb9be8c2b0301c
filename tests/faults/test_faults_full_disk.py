"""A command on a full disk says where there is no room, loses nothing and leaves nothing."""

from __future__ import annotations

import pytest

from tests.faults.full_disk import CASES, Fullness, on_full_disk, reason_for_none

pytestmark = [
    pytest.mark.live("faults"),
    pytest.mark.slow,
    pytest.mark.skipif(bool(reason_for_none()), reason=reason_for_none() or ""),
]

FULL = (
    *(Fullness(place, 0) for place in ("project", "store", "tmp", "home", "uv-cache")),
    Fullness("store", 3),
    Fullness("runtime", 0, "inodes"),
    Fullness("project", 1, "inodes"),
)
"""A few; `python -m tests.faults full` tries every place with more and more room."""


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_is_told_with_its_place_and_what_was_there_still_works(name, tmp_path):
    """With room again, the environment of before works, and the same command does."""
    with on_full_disk(name, tmp_path) as command:
        found = [fault for fullness in FULL for fault in command.faults(fullness)[1]]
    assert found == []
