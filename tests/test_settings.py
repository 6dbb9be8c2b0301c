"""What is worked out from the caller's variables, once and for every stage."""

from __future__ import annotations

import pytest

from esker.errors import StoreError
from esker.settings import Settings


def settings(environ, uid):
    """The settings of a user with these variables."""
    made = Settings(environ)
    made.uid = uid
    return made


@pytest.mark.parametrize(
    ("environ", "uid", "root"),
    [
        ({"HOME": "/root"}, 0, "/var/lib/esker/root"),
        ({"HOME": "/root", "XDG_DATA_HOME": "/root/data"}, 0, "/var/lib/esker/root"),
        ({"HOME": "/home/a"}, 1000, "/home/a/.local/share/esker/root"),
        ({"HOME": "/home/a", "XDG_DATA_HOME": "/data"}, 1000, "/data/esker/root"),
        ({"HOME": "/home/a", "XDG_DATA_HOME": "data"}, 1000, "/home/a/.local/share/esker/root"),
        ({"HOME": "/home/a", "ESKER_STORE": "/s"}, 1000, "/s"),
        ({"ESKER_STORE": "/s"}, 0, "/s"),
    ],
)
def test_the_store_lies_where_its_user_can_use_it(environ, uid, root):
    """Root's store is never below /root; an ordinary user's is data of theirs; ESKER_STORE decides for both."""
    assert settings(environ, uid).store_root == root


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ESKER_STORE": "s"}, "ESKER_STORE is `s`, which is not absolute"),
        ({}, "there is no place for the store: HOME is not set"),
        ({"HOME": "relative"}, "there is no place for the store: HOME is not set"),
    ],
)
def test_no_place_for_the_store_is_an_error(environ, message):
    """A relative directory would be another store in every directory."""
    with pytest.raises(StoreError) as caught:
        settings(environ, 1000).store_root  # noqa: B018
    assert caught.value.message == message


def test_tools_get_what_names_an_index_and_nothing_that_steers_them():
    """Variables of uv, pip, conda and Python steer tools: of these only the documented ones of uv pass."""
    environ = {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://example.invalid/simple",
        "UV_PYTHON": "/p",
        "UV_OFFLINE": "",
        "PIP_INDEX_URL": "x",
        "PYTHONPATH": "x",
        "VIRTUAL_ENV": "x",
        "CONDA_PREFIX": "x",
    }
    assert Settings(environ).tools == {"PATH": "/bin", "UV_DEFAULT_INDEX": "https://example.invalid/simple"}


def test_indexes_are_told_without_credentials():
    """They decide whether a lock is stale, and stand in it."""
    environ = {"UV_INDEX": "https://user:secret@a.invalid/simple,https://b.invalid/simple", "UV_FIND_LINKS": "/wheels"}
    found = Settings(environ).indexes
    assert [address.rpartition("@")[2].removeprefix("https://") for address in found] == [
        "a.invalid/simple",
        "b.invalid/simple",
        "/wheels",
    ]
    assert "secret" not in "".join(found)


def test_what_decides_store_and_interpreter_is_named():
    """An empty variable is none; the kind of machine counts, since many may share a home."""
    assert Settings({"ESKER_STORE": "", "ESKER_PYTHON": "/p"}).choices == {
        "machine": Settings({}).machine,
        "ESKER_PYTHON": "/p",
    }
