"""Prefix placeholders: the text that stands in the files of conda packages where the path of the prefix has to be.

In a text file each one is replaced. In a binary file each ends, perhaps after more text, at a zero byte, and the string
up to there is filled up with zero bytes, so that nothing after it moves. The first line of a script is what the kernel
reads, which takes neither spaces nor long lines. So where it would be such a line, a shell starts Python, and any other
interpreter is looked for on PATH.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed

if TYPE_CHECKING:
    from esker.formats.conda.package_info import Placeholder

__all__ = ["LONGEST_FIRST_LINE", "replaced"]

LONGEST_FIRST_LINE = 127
"""Bytes that every kernel reads of a script's first line."""
_FIRST_LINE = re.compile(rb"#!(?P<space> *)(?P<program>/(?:\\ |[^ \n\r\t])*)(?P<rest>[^\n\r]*)")


def replaced(content: bytes, placeholder: Placeholder, prefix: str) -> bytes:
    """Return the content of a file with the prefix in each place of the placeholder.

    Raises RealisationFailed for a binary file whose placeholder is too short for the prefix.
    """
    new = prefix.encode()
    if not placeholder.is_binary:
        return _text(content, placeholder.text, new)
    if len(new) > len(placeholder.text):
        raise RealisationFailed(
            f"the path `{prefix}` is too long: the programs of the package have room for {len(placeholder.text)} bytes",
            hint="set ESKER_STORE to a shorter directory",
        )
    string = re.compile(re.escape(placeholder.text) + rb"[^\0]*")
    return string.sub(lambda match: match[0].replace(placeholder.text, new).ljust(len(match[0]), b"\0"), content)


def _text(content: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    first = _FIRST_LINE.match(content)
    if first is None or placeholder not in first[0]:
        return content.replace(placeholder, prefix)
    line = first[0].replace(placeholder, prefix)
    if len(line) > LONGEST_FIRST_LINE or b" " in prefix:
        line = _other_line(first["program"].replace(placeholder, prefix), first["rest"].replace(placeholder, prefix))
    return line + content[first.end() :].replace(placeholder, prefix)


def _other_line(program: bytes, options: bytes) -> bytes:
    """Return what stands in the place of a first line that the kernel would not read."""
    name = program.rpartition(b"/")[2]
    if name.startswith(b"python"):  # to Python the second line is the text between two triple quotes
        return b"#!/bin/sh\n'''exec' \"%b\"%b \"$0\" \"$@\" #'''" % (program, options)
    return b"#!/usr/bin/env " + name + options
