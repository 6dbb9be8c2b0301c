"""The first lines of the scripts in a wheel's tree, as uv writes them: they find Python beside the script."""

from __future__ import annotations

import re

__all__ = ["LONGEST_UV_HEAD", "UV_HEAD"]

UV_HEAD = re.compile(
    rb"""#!/bin/sh\n(?P<coding># coding: [-\w.]+\n)?"""
    rb"""'{3}exec' "\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/[^\n]* "\$0" "\$@"\n' '{3}\n"""
)
"""What uv puts in the place of a script's `#!python`. Python looks for an encoding in the first two lines alone."""
LONGEST_UV_HEAD = 1024
"""Bytes that are enough to see it."""
