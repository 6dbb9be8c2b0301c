"""Texts that others have written cannot control the terminal of the person who reads them."""

from __future__ import annotations

import sys

import pytest

from esker.cli.main import main
from esker.cli.views.output import shown
from esker.cli.voice import ESKER, FLOX
from esker.errors import EskerError, ServiceFailed

TITLE = "\x1b]0;title\x07"


@pytest.mark.parametrize("voice", [ESKER, FLOX])
def test_what_is_told_cannot_move_the_cursor(capsys, voice):
    """Control characters in a message, a hint or a log are shown, not sent to the terminal; lines and tabs stay."""
    voice.say(f"a{TITLE}\tb\nc")
    voice.report(EskerError(f"failed{TITLE}", hint=f"do{TITLE}", place=f"{TITLE}:1"))
    voice.report(ServiceFailed(f"failed{TITLE}", service=TITLE, log=[f"said{TITLE}"]))
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "\x07" not in told
    assert r"a\x1b]0;title\x07" in told
    assert "\tb\nc\n" in told


def test_standard_output_is_data_unless_it_is_a_terminal(capsys, monkeypatch):
    """A file or pipe gets plain data; a terminal gets colours if they are wanted, and nothing else."""
    text = f"\x1b[31mred\x1b[0m{TITLE}"
    assert shown(text) == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert shown(text) == r"\x1b[31mred\x1b[0m\x1b]0;title\x07"
    assert shown(text, colours=True) == "\x1b[31mred\x1b[0m" + r"\x1b]0;title\x07"


def test_a_log_is_shown_without_what_moves_the_cursor(project, environ, capsys, monkeypatch):
    """A log, which may come with a project, is shown without characters that control the terminal."""
    directory = project('schema-version = "1.14.0"\n[services.web]\ncommand = "true"\n')
    (directory / ".flox/log/services").mkdir(parents=True)
    (directory / ".flox/log/services/web.log").write_text(f"\x1b[32mup\x1b[0m{TITLE}\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    command = ["services", "logs", "web", "-d", str(directory)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"\x1b[32mup\x1b[0m{TITLE}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(command) == 0
    assert capsys.readouterr().out == "\x1b[32mup\x1b[0m\\x1b]0;title\\x07\n"


def test_a_survey_is_shown_without_what_moves_the_cursor(project, environ, capsys, monkeypatch):
    """What `doctor` finds wrong with a manifest names what stands there."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker]\nruntime = "\\u001b]0;title\\u0007"\n')
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["doctor", "-d", str(directory.rename(directory.with_name(f"here{TITLE}")))])
    told = capsys.readouterr().out
    assert r"here\x1b]0;title\x07/.flox/env/manifest.toml:3: " in told
    assert "\x1b" not in told
