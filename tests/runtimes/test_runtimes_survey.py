"""What `esker doctor` finds: each thing that is missing names what would mend it."""

from __future__ import annotations

from esker.runtimes.survey import survey
from esker.settings import Settings


def test_what_is_missing_names_its_mend(tmp_path):
    """Without a PATH what can be done without is absent, nothing needed is missing, and whatever is not ok has a mend."""
    found = {
        finding.name: finding for finding in survey(Settings({"ESKER_STORE": str(tmp_path / "store")}), str(tmp_path))
    }
    assert {name for name, each in found.items() if each.state == "absent"} >= {
        "bash",
        "namespaces",
        "flox",
        "nix",
        "guix",
        "docker",
    }
    assert [name for name, each in found.items() if each.state == "missing"] == []
    assert all(each.mend for each in found.values() if each.state != "ok")
