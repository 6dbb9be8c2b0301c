"""The page of figures knows every figure, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import __main__ as command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/figures.md").read_text()


@pytest.fixture
def offered():
    """The names that `python -m bench` takes."""
    return list(command.FIGURES)


def test_every_figure_is_documented(offered):
    """Each name has a section of its own, in the order of the help, and no section is of a figure that is gone."""
    assert re.findall(r"^## `([\w-]+)`$", PAGE, re.MULTILINE) == offered


def test_every_section_says_how_and_on_what_it_was_taken(offered):
    """Each section has the command that prints it, and the date and load of the values that stand there."""
    for name, section in zip(offered, re.split(r"^## .*$", PAGE, flags=re.MULTILINE)[1:], strict=True):
        assert f"python -m bench {name}" in section
        assert re.search(
            r"20\d\d-\d\d-\d\d, highest load \d+\.\d\d(, others \d\.\d\d cores)?: (valid|INVALID)", section
        )
        assert "| aim |" in section
