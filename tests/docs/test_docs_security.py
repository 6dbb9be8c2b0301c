"""The page about security names tests that exist."""

from __future__ import annotations

import ast
import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs/concepts/security.md"
SUBJECTS = (
    *("owner of a project", "stranger's project", "package index", "wheel", "lock file", "cache", "other users"),
    *("root's services", "variables", "passwords"),
)


def rows():
    """Return the cells of each row of the page's tables, without their headings."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| who or")]


@functools.cache
def functions(path):
    """Return the names of the functions of a Python file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=[f"{number}. {row[0]}" for number, row in enumerate(rows(), 1)])
def test_a_row_names_tests_that_exist(row):
    """Each row says who is trusted with what and not with what, and which tests show it."""
    *_, tests = row
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", tests)
    assert len(row) == 4
    assert named
    assert all(name in functions(path) for path, name in named), tests


def test_everything_that_may_attack_has_a_row():
    """Nobody and nothing that Esker has to do with is left out."""
    subjects = " ".join(f"{subject} {trusted}" for subject, trusted, *_ in rows())
    assert [subject for subject in SUBJECTS if subject not in subjects] == []


def test_how_to_report_names_no_person():
    """A weakness is reported in the project's tracker, privately; the page of promises leads to the tables."""
    text = (ROOT / "SECURITY.md").read_text()
    assert "private report in the project's tracker" in text
    assert "@" not in text
    assert "docs/concepts/security.md" in text
