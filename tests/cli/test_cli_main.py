"""The command line as a whole: help, mistakes, and standard streams that are closed or cannot be written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from esker.cli.main import COMMANDS, commands
from esker.cli.voice import ESKER

pytestmark = pytest.mark.slow


def test_help_shows_every_command_with_examples(esker, empty):
    """`--help` of Esker and of each command has status 0 and shows examples, but no hidden option."""
    told = esker("--help").out
    assert all(name in told for name in commands(ESKER))
    for name in COMMANDS:
        done = esker(name, "--help")
        assert (name, done.status) == (name, 0)
        assert f"esker {name}" in done.out
        assert "SUPPRESS" not in done.out


def test_help_fits_a_terminal_of_80_columns(esker, empty):
    """No line of the lists of commands, and none of the examples, is cut or folded there."""
    for line in ("--help", "services --help", "store --help"):
        assert [long for long in esker(*line.split()).out.splitlines() if len(long) > 80] == []
    for name in COMMANDS:
        examples = esker(name, "--help").out.partition("examples:")[2]
        assert [long for long in examples.splitlines() if len(long) > 80] == []


def test_an_unknown_command_names_the_near_one(esker, empty):
    """A mistyped command has status 2, and the message names the one that was probably meant."""
    assert esker("actviate") == (
        2,
        "",
        "✘ ERROR: there is no command `actviate`\nhint: did you mean `esker activate`?\ncode: usage\n",
    )
    assert esker("services", "strat").err == (
        "✘ ERROR: there is no command `services strat`\nhint: did you mean `esker services start`?\ncode: usage\n"
    )
    for words, instead in {
        "up": "services start",  # and not the near `upgrade`, which would change the lock
        "ps": "services status",
        "services up": "services start",
        "services down": "services stop",
        "services exec": "activate -- COMMAND",
    }.items():
        assert f"hint: for that there is `esker {instead}`\n" in esker(*words.split()).err
    assert "hint: see: esker store --help\n" in esker("store", "xyz").err
    assert "is not implemented yet\nhint: see: esker upgrade\n" in esker("update").err
    assert "is not implemented yet\nhint: see: esker activate -- CMD\n" in esker("run", "python").err


@pytest.mark.parametrize("command", ["init", "list", "rollback", "activate", "services status"])
def test_an_empty_directory_name_is_refused(esker, empty, command):
    """The empty name that an unset variable leaves in `-d "$DIR"` does not mean the current directory."""
    done = esker(*command.split(), "-d", "", cwd=empty)
    assert (done.status, "the path of the project is empty" in done.err) == (2, True)
    assert not (empty / ".flox").exists()


@pytest.mark.parametrize("command", ["list", "activate --json", "activate", "--help", "activate --help"])
def test_output_that_cannot_be_written_is_told_once(environ, project, command):
    """If a reader is gone, a disk full or a descriptor closed, there is a status and at most one message."""
    directory = project()
    esker = f'"{sys.executable}" -m esker'
    subprocess.run(f"{esker} activate -- true", shell=True, cwd=directory, env=environ, check=True, capture_output=True)

    def told(script):
        done = subprocess.run(
            ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    gone = f"{esker} {command} | true; exit ${{PIPESTATUS[0]}}"
    assert told(gone)[0] in {0, 141}  # 0 where all was written before the reader had gone
    assert "Error" not in told(gone)[1]
    status, said = told(f"{esker} {command} > /dev/full")
    if command != "list":  # which has nothing to list
        assert (status, said.count("ERROR")) == (1, 1)
        assert "no space left on device" in said
    assert "Exception" not in said
    status, said = told(f"{esker} {command} >&-")
    assert (status, "Traceback" in said) == (0, False)


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_closed_for_the_command_and_disturb_no_hook(environ, project, tmp_path, closed):
    """No file of ours gets a closed stream's number in the hook, and the command finds the streams closed."""
    directory = project(
        'schema-version = "1.14.0"\n[hook]\non-activate = "cat; echo said; echo told >&2; export A=1"\n'
    )
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['A'] + ''.join('01'[s is None] for s in (sys.stdin, sys.stdout, sys.stderr)))"
    esker = f'"$0" -m esker activate -- "$0" -c "$1" "$2" {closed}'
    argv = ["sh", "-c", esker, sys.executable, code, str(tmp_path / "out")]
    done = subprocess.run(argv, cwd=directory, env=environ, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "1" + "".join("01"[word in closed] for word in ("<&-", ">&- ", "2>&-"))


def test_a_gone_directory_and_no_standard_input_are_no_tracebacks(environ, project, tmp_path):
    """In a removed directory one can name another environment, and Esker asks nothing if nobody can answer."""
    directory, other = project(), project(name="other")
    esker = f'"{sys.executable}" -m esker'
    script = f"mkdir gone && cd gone && rmdir ../gone; {esker} trust .; {esker} activate -d {directory} -- true"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "does not exist any more" in done.stderr, "Traceback" in done.stderr) == (0, True, False)
    script = f"{esker} activate -- {esker} list -d {other}; {esker} activate -- sh -c 'cd {other} && {esker} list <&-'"
    done = subprocess.run(["sh", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_a_terminal_without_a_character_gets_its_escape(esker, project, settings):
    """What others wrote, and our own marks, are printed with an escape for each character that the encoding lacks."""
    directory = project('schema-version = "1.14.0"\n[services.web]\ncommand = "true"\n')
    (directory / ".flox/log/services").mkdir(parents=True)
    (directory / ".flox/log/services/web.log").write_text("✔ up 😀\n")
    assert esker("services", "logs", "web", **settings) == (0, "\\u2714 up \\ud83d\\ude00\n", "")
    assert json.loads(esker("services", "logs", "web", "--json", **settings).out)[0]["line"] == "✔ up 😀"
    found = esker("doctor", **settings)
    assert "\\u2714 " in found.out
    assert "Traceback" not in found.err
    mistaken = esker("services", "logs", "nowhere", **settings)
    assert mistaken.err.startswith("\\u2718 ERROR: service `nowhere` does not exist")


def test_a_path_that_is_not_utf_8_is_printed_as_it_is(environ, project):
    """On standard output, a path that holds other bytes keeps them."""
    directory = os.fsencode(project()) + b"\xff"
    os.rename(directory[:-1], directory)
    done = subprocess.run(
        [sys.executable, "-m", "esker", "activate", "--", "true"],
        cwd=directory,
        env=environ,
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-m", "esker", "envs"], cwd=directory, env=environ, check=True, capture_output=True
    )
    assert b"project\xff\n" in done.stdout


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("ac", "did you mean `esker activate`?"),
        ("de", "did you mean `esker deny` or `esker deactivate` or `esker delete`?"),
        ("add pypi/app", "for that there is `esker install`"),
        ("sync", "for that there is `esker activate -- true`"),
        ("version", "for that there is `esker --version`"),
        ("store ver", "did you mean `esker store verify`?"),
        ("lock --chek", "did you mean `--check`?"),
        ("services start --timeot 3", "did you mean `--timeout`?"),
        ("activate --zzz", "see: esker activate --help"),
        ("activate -s web -- true", "only options stand before `--`, and -s starts every service; leave out: web"),
        ("activate -c echo hi", "quote the whole command of -c, which is one argument; these words are left over: hi"),
        ("activate true", "put the command after `--`: esker activate -- true"),
        ("activate --", "write it there: esker activate -- CMD; or leave out the `--` to start a shell"),
        ("activate -c a -- b", "leave one of them out: esker activate --help has examples of both"),
    ],
)
def test_a_mistyped_line_gets_a_hint_that_fits_it(esker, empty, line, hint):
    """The start of a name, a name with a slip, and words in the wrong place: each hint says what was meant."""
    assert f"\nhint: {hint}\n" in esker(*line.split()).err


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("help install", "install --help"),
        ("help image build", "image build --help"),
        ("help i", "install --help"),
        ("help --help", "--help"),
        ("help activate -- touch made", "activate --help"),
    ],
)
def test_help_of_a_command(esker, empty, line, same):
    """`help` takes the name of a command, and runs nothing of what stands behind it."""
    done = esker(*line.split())
    assert done == esker(*same.split())
    assert done.status == 0
    assert list(empty.iterdir()) == []


def test_quiet_and_verbose_work_after_the_command_too(esker, project):
    """`-q` before, after or among the arguments means the same; after `--` it belongs to the program."""
    project()
    assert "Create" in esker("init", "--help", "-q").out
    for line in ("-q install pypi/x --no-lock", "install -q pypi/y --no-lock", "install pypi/z --no-lock --quiet"):
        assert esker(*line.split()) == (0, "", "")
    assert esker("install", "pypi/w", "--no-lock", "-v").err
    assert esker("services", "-q", "status", "-vv").status == 1
