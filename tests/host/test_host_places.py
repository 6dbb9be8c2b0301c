from __future__ import annotations

import os

import pytest

from esker.host import places

KINDS = [
    (places.config, "XDG_CONFIG_HOME", ".config"),
    (places.data, "XDG_DATA_HOME", ".local/share"),
    (places.state, "XDG_STATE_HOME", ".local/state"),
]


@pytest.mark.parametrize(("place", "variable", "usual"), KINDS)
def test_a_directory_is_where_its_variable_says_or_below_the_home(place, variable, usual):
    """A relative path counts as unset, for the variable and for HOME; a given home replaces HOME."""
    assert place({variable: "/x", "HOME": "/h"}) == "/x"
    assert place({variable: "x", "HOME": "/h"}) == f"/h/{usual}"
    assert place({"HOME": "h"}) is None
    assert place({}) is None
    assert place({"HOME": "h"}, "/given") == f"/given/{usual}"
    assert place({variable: "/x"}, "/given") == "/x"


def test_a_runtime_directory_is_taken_only_when_it_is_safe(tmp_path):
    """It belongs to the user, is closed to others, and is a directory itself, not a link to one."""
    uid = os.geteuid()
    tmp_path.chmod(0o700)
    assert places.runtime(f"{tmp_path}/", uid) == str(tmp_path)
    assert places.runtime(str(tmp_path), uid + 1) is None
    (tmp_path / "link").symlink_to(tmp_path)
    assert places.runtime(f"{tmp_path}/link", uid) is None
    tmp_path.chmod(0o750)
    assert places.runtime(str(tmp_path), uid) is None
    for named in (None, "", "run", f"{tmp_path}/none"):
        assert places.runtime(named, uid) is None
