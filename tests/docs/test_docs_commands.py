"""The page of all commands says what their `--help` says."""

from __future__ import annotations

import re
import sys

import pytest

from esker.cli.main import commands
from esker.cli.voice import ESKER
from tests.support.commands_page import PAGE, renewed

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays help out differently since Python 3.13")
def test_the_page_of_all_commands_is_up_to_date():
    """Each command and subcommand stands there with its present help."""
    page = PAGE.read_text()
    assert page == renewed(page), "renew the page: python -m tests.support.commands_page"
    assert set(commands(ESKER)) <= set(re.findall(r"^## `esker ([a-z-]+)`$", page, re.MULTILINE))
    assert {"services wait", "services status", "store gc"} <= set(
        re.findall(r"^### `esker (.*)`$", page, re.MULTILINE)
    )


def test_the_envrc_of_the_page_brings_the_environments_variables(tmp_path, environ):
    """A bash that evaluates the lines, as direnv does, has the variables of the project, and its Python at the stable path."""
    import os
    import subprocess

    from tests.support.projects import EMPTY, write_project

    (lines,) = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    write_project(tmp_path / "weather", EMPTY + '[vars]\nCITY = "Oslo"\n', name="weather")
    program = os.path.dirname(sys.executable)
    script = f'watch_file() {{ ls "$@" >/dev/null; }}\n{lines}\necho "$CITY $FLOX_ENV"'
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        cwd=tmp_path / "weather",
        env=environ | {"PATH": f"{program}:{environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Oslo "), done.stderr
    assert done.stdout.rstrip().endswith("weather-dev")
