"""Credentials are taken out of every text that is shown or kept."""

from __future__ import annotations

import pytest

from esker.formats.urls import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no address: a@b, c://d", "no address: a@b, c://d"),
        ("ftp://u:p@h/x http://u@h", "ftp://h/x http://h"),
        ("git+https://token@h/x@v1", "git+https://h/x@v1"),
        ("https://u:p@ss@h/x", "https://h/x"),
        ("https://h/x?mail=a@b", "https://h/x?mail=a@b"),
        ("(https://u:p@h)\nhttps://u:p@h\n", "(https://h)\nhttps://h\n"),
    ],
)
def test_user_and_password_are_taken_out(text, shown):
    """Whatever stands around the address, and however many there are."""
    assert redact(text) == shown


@pytest.mark.parametrize("text", ["a-" * 500_000, "a://" * 500_000, "x://" + "a" * 1_000_000, "@" * 1_000_000])
def test_a_long_text_takes_linear_time(text):
    """A lock and the output of a program may be long; in quadratic time these would take minutes."""
    assert redact(text) == text
