"""Prefix placeholders: what stands in files afterwards, and that nothing in a binary file moves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import RealisationFailed
from esker.formats.conda.package_info import EntryPoint, Placeholder
from esker.realise.conda import contents
from esker.realise.conda.contents import Contents, Item
from esker.realise.conda.placeholders import replaced

OLD = b"/home/build/placeholder"
TEXT, BINARY = Placeholder(OLD, is_binary=False), Placeholder(OLD, is_binary=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"#!%s/bin/sh -e\n%s" % (OLD, OLD), b"#!/p/bin/sh -e\n/p"),
        (b"#!/bin/sh\n%s\xff" % OLD, b"#!/bin/sh\n/p\xff"),
        (b"%s:%s" % (OLD, OLD), b"/p:/p"),
        (b"no placeholder", b"no placeholder"),
        (b"", b""),
    ],
)
def test_text(before, after):
    """Each placeholder of a text is replaced, whatever the rest of its bytes are."""
    assert replaced(before, TEXT, "/p") == after


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!%s/bin/python3.11 -E" % OLD, b"#!/bin/sh\n'''exec' \"/a b/bin/python3.11\" -E \"$0\" \"$@\" #'''"),
        (b"#! %s/bin/ruby -W" % OLD, b"#!/usr/bin/env ruby -W"),
    ],
)
def test_a_first_line_that_the_kernel_does_not_read(line, expected):
    """With a space in the prefix, or with too long a prefix, a script starts all the same."""
    assert replaced(line + b"\nx", TEXT, "/a b") == expected + b"\nx"
    long = "/" + "a" * 200
    assert replaced(line + b"\nx", TEXT, long) == expected.replace(b"/a b", long.encode()) + b"\nx"


def test_binary():
    """A string keeps its length up to its zero byte; two placeholders in one string give their room to its end."""
    before = b"\0\1%s/x\0\0-I%s:%s/y\0end%s" % (OLD, OLD, OLD, OLD)
    after = replaced(before, BINARY, "/p")
    room = b"\0" * (len(OLD) - 2)
    assert after == b"\0\1/p/x" + room + b"\0\0-I/p:/p/y" + room + room + b"\0end/p" + room


@given(st.lists(st.sampled_from([OLD, b"\0", b"a", b"/x", OLD[:5]])).map(b"".join), st.integers(1, len(OLD)))
def test_nothing_moves(content, length):
    """A binary file keeps its length, its other strings, and their places."""
    after = replaced(content, BINARY, "/" * length)
    assert len(after) == len(content)
    assert OLD not in after or length == len(OLD)
    untouched = [(match.start(), match[0]) for match in re.finditer(rb"[^\0]+", content) if OLD not in match[0]]
    assert all(after[start:].startswith(string) for start, string in untouched)


def test_a_prefix_that_is_too_long():
    """A binary file has no room for a longer prefix; a text has."""
    with pytest.raises(RealisationFailed, match="too long"):
        replaced(OLD, BINARY, "/" * (len(OLD) + 1))
    assert replaced(OLD, TEXT, "/" * (len(OLD) + 1)) == b"/" * (len(OLD) + 1)


def test_contents_are_read_back():
    """What is written of a package's contents is read back as it was."""
    items = {"a": Item("file", "0" * 64, 1), "b": Item("program", "1" * 64, 2, TEXT), "c": Item("link", "a", 0)}
    items["d"] = Item("file", "2" * 64, 3, BINARY)
    made = Contents(items, ("e",), True, (EntryPoint("f", "g", "h"),), "lib/python3.11/site-packages")
    assert contents.parse(contents.render(made)) == made
