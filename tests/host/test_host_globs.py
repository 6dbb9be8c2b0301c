"""Patterns match what they match for `glob`, without going through links, and never for ever."""

from __future__ import annotations

import glob
import inspect
import os
import sys

import pytest

from esker.errors import HostError
from esker.host.globs import matches

FILES = ["a.c", "b.h", ".hidden.c", "src/a.c", "src/b/c.c", "src/b/.d/e.c", "src/[x]/f.c", "other/src/g.c", ".git/h.c"]
PATTERNS = [
    *(
        "*.c",
        "**/*.c",
        "**",
        "src/**",
        "src/**/*.c",
        "**/src/*.c",
        "**/**/*.c",
        "*/**/*.c",
        "src/[ab]/*",
        "src/[[]x]/*",
    ),
    *(".*", "**/.*", ".git/*", "src/a.c", "src/none", "src/../*.c", "./*.c", "?.[ch]", "src/*/*.c", "none/**", "**/b"),
]


@pytest.fixture
def tree(tmp_path):
    """Give a directory with files."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_is_as_glob_says(tree, pattern):
    """Only the directory before a last `**` counts as no match of it."""
    expected = {os.path.normpath(each) for each in glob.glob(pattern, root_dir=tree, recursive=True) if each}
    if pattern.endswith("/**"):
        expected.discard(pattern.removesuffix("/**"))
    assert {*map(os.path.normpath, matches(pattern, str(tree)))} == expected


def test_an_absolute_pattern_begins_where_it_says(tree):
    assert matches(f"{glob.escape(str(tree))}/*.c", "/nowhere") == [f"{tree}/a.c"]


def test_links_in_a_circle_end(tree):
    """Two links to where they lie make as many paths as there are numbers of forty digits of two kinds."""
    for name in ("one", "two"):
        os.symlink(".", tree / name)
    assert matches("**/a.c", str(tree)) == ["a.c", "src/a.c"]
    assert matches("one/*.c", str(tree)) == ["one/a.c"]


def test_a_pattern_for_everything_is_refused(tree):
    """It would be searched for as long as the machine has directories."""
    assert matches("**/*.c", str(tree), most=7)
    with pytest.raises(HostError, match=r"the pattern `\*\*/\*\.c` would look into directories more than 3 times"):
        matches("**/*.c", str(tree), most=3)


def test_a_pattern_that_goes_too_deep_is_refused(tree):
    """Each directory in another one is a call in another one, of which Python allows a thousand."""
    os.makedirs(tree / "/".join("d" * 200))
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        with pytest.raises(HostError, match="leads into too many directories that lie in each other"):
            matches("**/*.c", str(tree))
    finally:
        sys.setrecursionlimit(before)
