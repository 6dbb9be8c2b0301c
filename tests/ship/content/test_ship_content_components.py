"""The bill of materials: what the lock says, valid by CycloneDX's own schema, and always the same bytes."""

from __future__ import annotations

import json

import pytest

from esker.errors import HostError
from esker.formats.conda.locked_package import LockedCondaPackage
from esker.ship.content.components import Component, conda_components, document

DIGEST = f"sha256:{'0' * 64}"
URL = "https://conda.example/forge/linux-64/jq-1.7-h1_0.conda"
PACKAGE = LockedCondaPackage("jq", "1.7", "h1_0", "linux-64", URL, "a" * 64)
COMPONENTS = [
    *conda_components([PACKAGE]),
    Component("pypi/uvicorn", "uvicorn", "0.54", "b" * 64, "pypi"),
    Component("pypi/app", "app", "", None, "pypi"),
    Component("/opt/tool", "@scope/tool", "1.0.0", None, "npm", integrity=f"sha512-{'A' * 86}=="),
    Component("/opt/agents", "agents", "c" * 40, None, "generic", {"vcs_url": "git+https://git.example/agents.git"}),
]


def test_it_says_what_the_lock_says():
    """Each package has its version, its package URL and the hash of what was fetched; what was built here has none."""
    made = json.loads(document(COMPONENTS, "app", DIGEST, 1, layers=2))
    found = {each["name"]: each for each in made["components"]}
    assert found["jq"]["purl"] == "pkg:conda/jq@1.7?build=h1_0&channel=forge&subdir=linux-64"
    assert found["uvicorn"]["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert found["@scope/tool"]["purl"] == "pkg:npm/%40scope/tool@1.0.0"
    assert found["@scope/tool"]["hashes"] == [{"alg": "SHA-512", "content": "0" * 128}]
    assert found["agents"]["purl"].startswith(f"pkg:generic/agents@{'c' * 40}?vcs_url=git%2Bhttps:")
    assert (found["app"]["purl"], "hashes" in found["app"]) == ("pkg:pypi/app", False)
    assert made["metadata"]["component"]["version"] == DIGEST
    assert made["metadata"]["timestamp"].startswith("1970-01-01T00:00:01")


def test_it_is_valid():
    """The schema of CycloneDX finds nothing wrong."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = document(COMPONENTS, "app", DIGEST, 1, layers=2).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_same_bytes():
    """Neither order, time nor chance is in it."""
    assert document(COMPONENTS, "app", DIGEST, 1, layers=2) == document(
        reversed(COMPONENTS), "app", DIGEST, 1, layers=2
    )


def test_without_the_library(monkeypatch):
    """It comes with an extra, which the error names."""
    import sys

    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    with pytest.raises(HostError, match="needs cyclonedx-python-lib") as caught:
        document(COMPONENTS, "app", DIGEST, 1, layers=2)
    assert f"{sys.executable} -m pip install 'esker[image]'" in caught.value.hint
