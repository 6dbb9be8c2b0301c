"""What a person sees on a terminal while Esker works."""

from __future__ import annotations

import sys

import pytest

from tests.support.terminal import on_a_terminal


@pytest.mark.slow
def test_the_bar_is_gone_before_the_error(index, environ, project):
    """When locking fails on a terminal, the bar is removed and the cursor is back before the error is printed."""
    index.add("app", "1.0", {"app.py": "X = 1\n"})
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["nowhere"]\n')
    screen = on_a_terminal(
        [sys.executable, "-m", "esker", "lock"], environ={**environ, "TERM": "xterm-256color"}, cwd=directory
    )
    bar, error = screen.split("✘ ERROR: the package index has no package `nowhere`")
    assert "Locking Python packages" in bar
    assert bar.rindex("\x1b[?25h") > bar.rindex("\x1b[?25l")
    assert "Locking" not in error
    assert "\x1b" not in error
