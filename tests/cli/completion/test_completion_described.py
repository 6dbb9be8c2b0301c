from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from esker.cli import main
from esker.cli.completion.described import described_commands
from esker.cli.completion.script import readers, script
from esker.cli.voice import ESKER

FREE = {
    *("--name -n", "--group", "--optional", "--depth", "--python", "--command -c", "--package -p", "--timeout"),
    *("--tail -n", "--generation -g", "--keep", "--name", "--test", "--label", "--tag"),
    *("--runtime", "--shell", "--override-input", "--action", "--image"),
}
"""The options whose values nobody can list."""


@pytest.fixture(scope="module")
def commands():
    return described_commands()


def test_every_command_is_described(commands):
    """Those that --help shows are there, with their subcommands, other names and options."""
    by_name = {command.name: command for command in commands}
    assert {name.partition(" ")[0] for name in by_name} == set(main.commands(ESKER))
    assert by_name["uninstall"].aliases == ("rm", "remove")
    assert by_name["services restart"].aliases == ("services r", "service restart", "service r")
    wait = {option.names[-1]: option.value for option in by_name["services wait"].options}
    assert wait["--for"].words == ("healthy", "completed", "stopped")
    assert wait["--dir"].kind == "project"
    assert wait["--json"] is None
    assert all("--help" in {name for option in command.options for name in option.names} for command in commands)


def test_an_option_that_nobody_can_complete_is_one_on_purpose(commands):
    """A new option with a value is completed, or it is named here."""
    left = {
        " ".join(sorted(option.names, key=len, reverse=True))
        for command in commands
        for option in command.options
        if option.value is not None and option.value.kind == "free" and not option.value.words
    }
    assert left == FREE


def test_hidden_options_are_not_offered(commands):
    """What --help hides is for programs."""
    names = {name for command in commands for option in command.options for name in option.names}
    assert "--profile" not in names
    assert "--reference" not in names


def test_the_texts_for_sh_and_awk_stand_between_single_quotes():
    """They have none themselves, so that each shell can hold them as they are."""
    assert not any("'" in text for text in readers())


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_a_script_that_the_shell_can_parse(shell, environ):
    """It is the same each time, and says how it was made; it needs no project."""
    done = subprocess.run(
        [sys.executable, "-m", "esker", "completion", shell], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == script(shell)
    assert re.search(
        f"^# Completion of `esker` in {shell}, made by: esker completion {shell}$", done.stdout, re.MULTILINE
    )
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, env={"PATH": os.environ["PATH"]})


def test_another_shell_is_refused(capsys):
    """The error names the shells that there are."""
    assert main.main(["completion", "tcsh"]) == 2
    shown = capsys.readouterr().err
    assert "invalid choice: 'tcsh'" in shown
    assert "bash" in shown
