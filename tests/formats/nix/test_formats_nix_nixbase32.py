"""Nix's base 32."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.nix.nixbase32 import ALPHABET, decode, encode

# nix-hash --type sha256 --flat [--base32] FILE and the same with sha1, of a file that holds "hello\n"
KNOWN = {
    "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03": (
        "00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq"
    ),
    "f572d396fae9206628714fb2ce00f72e94f2258f": "iwjz551fyw0cxcjgf4l6c879zabd6wpm",
}


@pytest.mark.parametrize("hexadecimal", KNOWN)
def test_writes_hashes_as_nix_does(hexadecimal):
    """A hash has the digits that nix-hash prints, and they are read back."""
    assert encode(bytes.fromhex(hexadecimal)) == KNOWN[hexadecimal]
    assert decode(KNOWN[hexadecimal]).hex() == hexadecimal


@given(st.binary(max_size=70))
def test_every_bytes_come_back(data):
    """Decoding undoes encoding."""
    assert decode(encode(data)) == data


@given(st.text(ALPHABET, max_size=60))
def test_two_texts_are_never_the_same_bytes(text):
    """A text is refused or is the one that encoding its bytes gives."""
    try:
        data = decode(text)
    except Malformed:
        return
    assert encode(data) == text


@pytest.mark.parametrize("text", ["e" * 32, "A" * 32, "z", "z" * 52, "0" * 31 + "é", "000"])
def test_refuses_what_nobody_encoded(text):
    """Other letters, lengths that no bytes have, and bits beyond the last byte are refused with the text."""
    with pytest.raises(Malformed, match=text):
        decode(text)


def test_a_long_text_is_refused_at_once():
    """A text of a million digits takes no more than a moment; the time used to grow with the square of the length."""
    before = time.process_time()
    with pytest.raises(Malformed):
        decode("z" * 1_000_001)
    assert time.process_time() - before < 5
