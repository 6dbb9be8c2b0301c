"""A uv.lock of nothing but versions that uv is to prefer."""

from __future__ import annotations

import tomllib

from esker.lock.preferences import preferences


def test_packages_have_name_version_and_where_they_are_several_a_marker():
    """Markers tell versions of one package apart; uv reads those of a single version from the package itself."""
    pins = ["a==1.0 ; sys_platform == 'linux'", "a==2 ; sys_platform != 'linux'", "b==1!3.0+x ; python_version > '3'"]
    found = tomllib.loads(preferences(pins, ">=3.11", {}))
    assert (found["version"], found["requires-python"], found["options"]) == (1, ">=3.11", {})
    assert [(each["name"], each["version"], each.get("resolution-markers")) for each in found["package"]] == [
        ("a", "1.0", ['sys_platform == "linux"']),
        ("a", "2", ['sys_platform != "linux"']),
        ("b", "1!3.0+x", None),
    ]


def test_settings_stand_in_it_as_uv_writes_them():
    """A lock that was made with other settings is one that uv ignores versions of."""
    settings = {"resolution": "lowest", "prerelease": "allow", "fork-strategy": "fewest", "no-index": True}
    options = {"resolution-mode": "lowest", "prerelease-mode": "allow", "fork-strategy": "fewest"}
    assert tomllib.loads(preferences([], ">=3.11", settings))["options"] == options
