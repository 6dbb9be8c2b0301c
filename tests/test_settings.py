"""What is worked out from the caller's variables, once and for every stage."""

from __future__ import annotations

import pwd

import pytest

from esker.errors import StoreError, UsageError
from esker.settings import Settings

UNKNOWN = 987654321
"""A uid that no machine knows."""


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
        settings(environ, UNKNOWN).store_root  # noqa: B018
    assert caught.value.message == message


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative", "XDG_DATA_HOME": "data"}])
def test_without_home_the_user_database_says_where_it_is(environ):
    """`env -i esker activate` uses the same store and the same ports as a login shell."""
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid and entry.pw_dir != "/")
    made = settings(environ, user.pw_uid)
    home = pwd.getpwuid(user.pw_uid).pw_dir
    assert (made.store_root, made.state_home) == (f"{home}/.local/share/esker/root", f"{home}/.local/state")


def test_tools_get_what_names_an_index_and_nothing_that_steers_them():
    """Variables of uv, pip, conda and Python steer tools: of these only the documented ones of uv pass."""
    environ = {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://example.invalid/simple",
        "UV_PYTHON": "/p",
        "UV_OFFLINE": "",
        "UV_INDEX_CORP_PASSWORD": "",
        "PIP_INDEX_URL": "x",
        "PYTHONPATH": "x",
        "VIRTUAL_ENV": "x",
        "CONDA_PREFIX": "x",
    }
    assert Settings(environ).tools == {"PATH": "/bin", "UV_DEFAULT_INDEX": "https://example.invalid/simple"}


@pytest.mark.parametrize(
    "name",
    [
        "UV_INDEX_CORP_USERNAME",
        "UV_INDEX_CORP_1_PASSWORD",
        "UV_CREDENTIALS_DIR",
        "UV_S3_ENDPOINT_URL",
        "UV_GCS_ENDPOINT_URL",
        "UV_AZURE_ENDPOINT_URL",
        "UV_REQUEST_TIMEOUT",
        "UV_HTTP_CONNECT_TIMEOUT",
    ],
)
def test_what_an_index_needs_reaches_uv_and_no_lock(name):
    """Credentials of a named index, and where and how long uv asks, decide nothing about what is locked."""
    made = Settings({name: "secret"})
    assert made.tools == {name: "secret"}
    assert "secret" not in f"{made.indexes} {made.choices}"


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


def test_the_largest_wheel_is_a_number_with_a_unit():
    """Without the variable, the limit lets the largest wheels pass that are in use."""
    assert Settings({}).largest_wheel == 8_000_000_000
    assert Settings({"ESKER_LARGEST_WHEEL": "500 MB"}).largest_wheel == 500_000_000
    assert Settings({"ESKER_LARGEST_WHEEL": "50gb"}).largest_wheel == 50_000_000_000


@pytest.mark.parametrize("text", ["8", "GB", "-1GB", "1.5GB", "1TB", "8 GiB", "\uff19GB", "9" * 5000 + "GB"])
def test_another_text_for_the_largest_wheel_is_an_error(text):
    """It names the variable, and how to write one."""
    with pytest.raises(UsageError, match="ESKER_LARGEST_WHEEL") as caught:
        Settings({"ESKER_LARGEST_WHEEL": text}).largest_wheel  # noqa: B018
    assert "20GB" in caught.value.hint
