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
