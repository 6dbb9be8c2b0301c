"""What the pages name is there: commands, options, files that `init` reads, members and errors in Python."""

from __future__ import annotations

import inspect
import pathlib
import re
import shlex
import subprocess
import sys
from contextlib import suppress

import pytest

from esker import EskerError, errors
from esker.cli.completion.described import GENERAL, SUBCOMMANDS, described_commands
from esker.cli.main import ALIASES, COMMANDS
from esker.declare.adopt.project_files import READERS
from esker.environment import Environment
from esker.services.chamber import Chamber
from tests.support.projects import EMPTY, write_project

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
    if "decisions" not in path.parts and path.name != "CHANGELOG.md"
)
PYTHON = (ROOT / "docs/reference/python.md").read_text()
HIDDEN = {name for name, (_, summary) in COMMANDS.items() if not summary}
pytestmark = pytest.mark.slow


def test_every_page_is_named_in_the_readme():
    """A newcomer finds each page from the first one."""
    named = set(re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()))
    assert {page for page in PAGES if page.startswith("docs/")} <= named


def _typed(text):
    """Yield the words of each `esker` command in a page, without what a shell or another program reads."""
    for span in re.findall(
        r"`(esker [^`]+)`|^(?: {4})?(?:\$ )?(esker .+)$|\"\$\((esker [^)]+)\)\"", text, re.MULTILINE
    ):
        lexer = shlex.shlex("".join(span).partition("  ")[0], posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        words = []
        with suppress(ValueError):  # a quotation that goes on in the next line
            for word in lexer:
                if word == "--" or word[0] in "|;&<>()…":
                    break
                words.append(word)
        yield words[1:]


@pytest.fixture(scope="module")
def known():
    """Give the options of each command, by its names."""
    return {
        name: {*GENERAL, "-h", "--help", *(each for option in command.options for each in option.names)}
        for command in described_commands()
        for name in command.names
    }


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith("figures.md")])  # which has other texts
def test_commands_and_options_exist(page, known):
    """Every `esker COMMAND --option` of a page is a command with this option."""
    for words in _typed((ROOT / page).read_text()):
        command = next((name for name in (" ".join(words[:2]), *words[:1]) if name in known), None)
        if command is None:
            group = words[:1] in [[name] for name in SUBCOMMANDS] and not re.fullmatch("[a-z-]+", "".join(words[1:2]))
            assert not words or group or words[0] in {*HIDDEN, *ALIASES, "COMMAND"} or words[0][0] in "-[", words
            continue
        options = [word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)]
        assert set(options) <= known[command], (command, options)


def test_the_table_of_what_init_takes_has_every_file():
    """Each file that `init` reads has a row, and each that it only names stands in the text below."""
    text = (ROOT / "docs/guides/from-other-tools.md").read_text()
    rows = " ".join(re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE))
    for name, reader in READERS.items():
        is_told = reader.__name__ == "reader"  # one that takes nothing
        assert (f"`{name}`" in rows) is not is_told or name == "environment.yaml", name
        assert not is_told or name in text


def test_the_program_of_the_page_runs(environ, tmp_path):
    """It prints the version, the name of the environment, and the error."""
    write_project(tmp_path / "hello", EMPTY + "[vars]\n", name="hello")
    program = tmp_path / "program.py"
    (code,) = re.findall(r"^```python\n(.*?)^```$", PYTHON, re.MULTILINE | re.DOTALL)
    program.write_text(code.replace('["ninja", "--version"]', '["echo", "1.13"]'))
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "1.13 hello"
    assert done.stdout.splitlines()[1].startswith("command-failed ")


def _members(heading):
    """Return the names of the members in the table below a heading, each with its arguments."""
    below = PYTHON.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = " ".join(re.findall(r"^\| (`[^|]+) \|", below, re.MULTILINE))
    return re.findall(r"`(?:with )?(\w+)(\([^`]*\))?:?`", cells)


def test_the_members_are_there_with_their_arguments():
    """Each method that the page names takes the arguments that the page names."""
    of_environment = _members("`Environment`")
    assert ("variables", "()") in of_environment
    for owner, members in ((Environment, of_environment), (Chamber, _members("Services"))):
        for name, arguments in members:
            if arguments:
                parameters = inspect.signature(getattr(owner, name)).parameters
                assert set(re.findall(r"\b[a-z_]+(?=[,)=])", arguments)) - {"one"} <= parameters.keys(), name


def test_the_errors_have_these_codes():
    """Each class of the page is there, and each code is one of a class."""
    codes = {each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, EskerError)}
    below = PYTHON.partition("## Errors")[2].partition("|---|---|---|\n")[2]
    for row in re.findall(r"^\| (`[a-z-]+`.*?) \| (.*?) \|", below, re.MULTILINE):
        assert set(re.findall(r"`([a-z-]+)`", row[0])) <= codes
        assert all(issubclass(getattr(errors, name), EskerError) for name in re.findall(r"`(\w+)`", row[1]))
