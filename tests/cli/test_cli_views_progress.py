"""What a person sees on a terminal while Esker works."""

from __future__ import annotations

import sys

import pytest

from esker.cli.views import progress
from esker.progress import reporting
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


def test_work_that_failed_is_not_said_to_be_done(capsys, monkeypatch):
    """Its duration is told only if it succeeded, so that no `done` stands before an error."""
    times = iter([0.0, 5.0, 10.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    lines = progress.Lines()
    lines.begin("Locking")
    lines.end()

    def fail():
        with reporting(lines):
            lines.begin("Installing")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    lines.end()
    assert capsys.readouterr().err == "Locking …\n  done in 5.0 s\nInstalling …\n"


@pytest.mark.parametrize(("total", "told"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers")])
def test_a_single_unit_is_no_plural(capsys, total, told):
    """A unit is told as its number asks for."""
    lines = progress.Lines()
    lines.begin("Making layers", total=total, unit="layer")
    assert capsys.readouterr().err == f"Making layers ({told}) …\n"


@pytest.mark.parametrize(("total", "unit", "told"), [(1, "layer", "layer"), (2, "layer", "layers"), (2, "", "")])
def test_the_bar_has_the_unit(monkeypatch, total, unit, told):
    """It stands behind the numbers, and a piece of work without a unit has none."""
    columns = []
    monkeypatch.setattr("rich.progress.Progress.__init__", lambda _, *given, **__: columns.extend(given))
    monkeypatch.setattr("rich.progress.Progress.start", lambda _: None)
    monkeypatch.setattr("rich.progress.Progress.add_task", lambda *_, **__: None)
    progress.Terminal().begin("Making layers", total=total, unit=unit)
    assert columns[-2].text_format == told


@pytest.mark.parametrize("title", ["Making /a/[/x]/.venv", "Making /a/[red]x", "Making \x1b]0;title\x07"])
def test_a_title_is_shown_as_it_is(title, environ, tmp_path):
    """It may have the name of a directory in it: no marks of the bar's, and nothing that moves the cursor."""
    code = (
        "import sys; from esker.cli.views.progress import Terminal; bar = Terminal(); bar.begin(sys.argv[1]); bar.end()"
    )
    shown = on_a_terminal([sys.executable, "-c", code, title], environ={**environ, "TERM": "xterm"}, cwd=tmp_path)
    assert title.replace("\x1b", r"\x1b").replace("\x07", r"\x07") in shown


@pytest.mark.slow
def test_installing_tells_packages_and_bytes(esker, served, project):
    """The sizes in the lock are added up, and what they come to stays."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app", "tool"]\n')
    assert esker("lock").status == 0
    lock = directory / ".flox/pylock.toml"
    lock.write_text(lock.read_text().replace("hashes = {", "size = 17250000, hashes = {"))
    done = esker("activate", "--", "app")
    assert done.out == "app runs\n"
    assert "Installing 2 Python packages, 34.5 MB …\n" in done.err
    assert done.err.endswith("✔ 2 Python packages, 34.5 MB\n")
    assert esker("activate", "--", "app").err == ""


@pytest.mark.slow
def test_installing_counts_packages_on_a_terminal(served, environ, project):
    """The bar has the number of packages, and what stays is the sum; a size that an index does not say is left out."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app", "tool"]\n')
    activate = [sys.executable, "-m", "esker", "activate", "--", "app"]
    screen = on_a_terminal(activate, environ={**environ, "TERM": "xterm-256color"}, cwd=directory)
    assert "0/2" in screen
    assert "✔ 2 Python packages\r\n" in screen
