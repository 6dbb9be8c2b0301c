"""npm's configuration: what lines mean, and which login belongs to which address."""

from __future__ import annotations

import base64

import pytest

from esker.formats.npm.configuration import authorization, parse

PASSWORD = base64.b64encode(b"secret").decode()


def test_lines():
    """Comments, quotes, variables and lines that are none."""
    text = '; c\n# c\n[section]\nfund\nregistry="https://npm.invalid" # c\n a = ${A}\nb=${B}\nc=${C?}\n'
    assert parse(text, {"A": "1"}) == {"registry": "https://npm.invalid", "a": "1", "b": "${B}", "c": ""}


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("https://npm.invalid/x/a.tgz", {"//npm.invalid/:_authToken": "t"}, "Bearer t"),
        ("https://npm.invalid/x/a.tgz", {"//npm.invalid/x/:_authToken": "t"}, "Bearer t"),
        ("https://npm.invalid/x/a.tgz", {"//npm.invalid/x:_authToken": "t"}, "Bearer t"),
        ("https://npm.invalid/x/a.tgz", {"//npm.invalid/y/:_authToken": "t"}, None),
        ("https://npm.invalid:8443/a.tgz", {"//npm.invalid/:_authToken": "t"}, None),
        ("https://evil.invalid/npm.invalid/a", {"//npm.invalid/:_authToken": "t"}, None),
        ("https://npm.invalid/a", {"//npm.invalid/:_auth": "bWU6cHc="}, "Basic bWU6cHc="),
        ("https://npm.invalid/a", {"//npm.invalid/:username": "me"}, None),
        ("https://npm.invalid/a", {"//npm.invalid/:username": "me", "//npm.invalid/:_password": "*"}, None),
        (
            "https://npm.invalid/a",
            {"//npm.invalid/:username": "me", "//npm.invalid/:_password": PASSWORD},
            f"Basic {base64.b64encode(b'me:secret').decode()}",
        ),
    ],
)
def test_logins(url, key, expected):
    """A login is for the addresses that begin as its key does, and for no other host, port or directory."""
    assert authorization(url, key) == expected
