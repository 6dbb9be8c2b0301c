"""Command lines completed by a person at a terminal, in real shells.

The `esker` on the person's PATH writes down what it is called with, and does nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from esker.cli.completion.script import script
from tests.support.terminal import on_a_terminal

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

MANIFEST = r"""
schema-version = "1.14.0"
[install]
hello.pkg-path = "hello"
[hook]
on-activate = "touch RAN"
[profile]
common = "touch RAN"
[services]
postgres.command = "touch RAN"
"web server".command = "touch RAN"
"zz$(touch RAN)".command = "true"
"zz`touch RAN`".command = "true"
"zz;touch RAN".command = "true"
"zz'\"touch".command = "true"
"zz\ntouch RAN".command = "true"
zzz-last.command = "true"
[plugins.esker.services.zz-not-one]
type = "oneshot"
"""
PYLOCK = '[[packages]]\nname = "starlette"\n\n[[packages]]\nname = "uvicorn"\n'
CONDA_LOCK = "packages:\n- conda: https://channel.example/c/linux-64/ca-certificates-2026.1.1-h_0.conda\n"
HOSTILE = "odd $(touch RAN) `touch RAN` 'x\" ;&"
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


class Kind(NamedTuple):
    """A shell, and how its users install completion."""

    shell: str
    arguments: tuple[str, ...]
    rc: str
    """The start-up file below HOME."""
    text: str
    """What stands in it."""
    script: str
    """Where the script lies below HOME."""


BASH = ("bash", ("bash", "--noprofile", "-i"), ".bashrc")
ZSH = ("zsh", ("zsh", "-i"), ".zshrc")
ZSH_START = "PS1='> '; unsetopt prompt_sp; autoload -Uz compinit"
KINDS = {
    "bash": Kind(*BASH, "PS1='> '; . ~/completion", "completion"),
    "bash that is strict": Kind(
        *BASH,
        "PS1='> '; set -eu; . ~/completion; IFS=es; shopt -s nullglob nocasematch; alias read=false command=false",
        "completion",
    ),
    "bash with bash-completion": Kind(
        *BASH, f"PS1='> '; . {BASH_COMPLETION}", ".local/share/bash-completion/completions/esker"
    ),
    "zsh": Kind(*ZSH, f"{ZSH_START}; compinit -D; . ~/completion", "completion"),
    "zsh with the script in fpath": Kind(
        *ZSH, f"fpath=(~/functions $fpath); {ZSH_START}; compinit -D", "functions/_esker"
    ),
    "fish": Kind(
        "fish",
        ("fish", "-i"),
        ".config/fish/config.fish",
        "function fish_prompt; echo -n '> '; end; function fish_greeting; end",
        ".config/fish/completions/esker.fish",
    ),
}
CASES = {
    "serv\tw\tpos\t": "services wait postgres",
    "services wait zz\t": "services wait zzz-last",
    "services wait postgres --for=com\t": "services wait postgres --for=completed",
    "service wait --for hea\t": "service wait --for healthy",
    "-q services rest\tpos\t": "-q services restart postgres",
    "rm hel\t": "rm hello",
    "upgrade starl\t": "upgrade starlette",
    "why ca-c\t": "why ca-certificates",
    "which blac\t": "which blacksmith",
    "completion f\t": "completion fish",
    "shim fl\t../emp\t": "shim flox ../empty/",
    "activate -m r\t": "activate -m run",
    "edit -f pylo\t": "edit -f pylock.toml",
    "activate --tru\t-- xzc\t ": "activate --trust -- xzc",
    "list -d ../proj\t": "list -d ../project/",
    "services logs -d ../other bac\t": "services logs -d ../other backend",
    "services logs --dir=../other bac\t": "services logs --dir=../other backend",
    "delete --dir=../proj\t": "delete --dir=../project/",
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    """Give each shell that completes."""
    if shutil.which(request.param.shell) is None:
        pytest.skip(f"{request.param.shell} is not on this machine")
    if BASH_COMPLETION in request.param.text and not os.path.exists(BASH_COMPLETION):
        pytest.skip("bash-completion is not on this machine")
    return request.param


@pytest.fixture
def place(tmp_path):
    """Give a directory with a home, a project of a stranger, another project, and one with a hostile name."""
    write_project(tmp_path / "project", MANIFEST)
    write_project(tmp_path / "other", "[services.backend]\ncommand = 'true'\n")
    write_project(tmp_path / HOSTILE, "")
    flox = tmp_path / "project/.flox"
    (flox / "pylock.toml").write_text(PYLOCK)
    (flox / "conda.lock").write_text(CONDA_LOCK)
    (flox / "run/s.project-dev/bin").mkdir(parents=True)
    (flox / "run/s.project-dev/bin/blacksmith").touch()
    (tmp_path / "project/pylock.toml").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs/esker"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"with open({str(tmp_path / 'log')!r}, 'a+') as log:\n"
        "    log.write(json.dumps(sys.argv[1:]) + '\\n')\n    log.seek(0)\n"
        "    print(f'done{len(log.readlines())}.')\n"
    )
    program.chmod(0o755)
    return tmp_path


def write_project(directory, manifest):
    (directory / ".flox/env").mkdir(parents=True)
    (directory / ".flox/env.json").write_text('{"name": "x", "version": 1}')
    (directory / ".flox/env/manifest.toml").write_text(manifest)


def typed(kind, place, lines):
    """Type command lines of `esker` in the project, and return the arguments of each call of the program."""
    home = place / "home"
    for name, text in ((kind.rc, f"{kind.text}\n"), (kind.script, script(kind.shell))):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    pairs, ready = [], "> "
    for number, line in enumerate(lines, 1):
        pairs.append((ready, f"{line}\n"))
        ready = f"done{number}."
    environ = {
        "HOME": str(home),
        "PATH": f"{place / 'programs'}:/usr/bin:/bin",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        "HISTFILE": "/dev/null",
    }
    shown = on_a_terminal(
        list(kind.arguments), environ=environ, cwd=place / "project", typed=[*pairs, (ready, "\x15exit\n" * 3)]
    )
    assert "not found" not in shown
    return [json.loads(line) for line in (place / "log").read_text().splitlines()]


def test_what_a_tab_completes(kind, place):
    """Commands, options, values, names from files and paths are completed, and neither Esker nor the project runs."""
    calls = typed(kind, place, [f"esker {keys}" for keys in CASES])
    completed = [" ".join(call).replace("--for=", "--for ").rstrip("/") for call in calls]
    assert completed == [line.replace("--for=", "--for ").rstrip("/") for line in CASES.values()]
    assert not list(place.rglob("RAN"))


def test_a_path_with_a_hostile_name(kind, place):
    """A directory is completed as one quoted word, whatever its name, and nothing of the name is run."""
    write_registry(place, place / HOSTILE)
    for line in ("list -d ../od\t", f"list -d {place}/od\t"):
        (place / "log").unlink(missing_ok=True)
        (call,) = typed(kind, place, [f"esker {line}"])
        assert call[:2] == ["list", "-d"]
        assert os.path.samefile(os.path.join(place / "project", call[2]), place / HOSTILE)
    assert not list(place.rglob("RAN"))


def test_the_environments_that_are_known(kind, place):
    """After -d stand the environments of the user's list, also those that lie elsewhere."""
    write_registry(place, place / "other", place / "gone")
    calls = typed(kind, place, ["cd ../empty && esker", "esker list -d \t"])
    assert [[word.rstrip("/") for word in call] for call in calls] == [[], ["list", "-d", str(place / "other")]]


def write_registry(place, *projects):
    directory = place / "home/.local/share/esker"
    directory.mkdir(parents=True, exist_ok=True)
    entries = [{"path": f"{project}/.flox", "envs": []} for project in projects]
    (directory / "env-registry.json").write_text(json.dumps({"version": 1, "entries": entries}, indent=2))


def test_zsh_without_compinit_says_what_is_missing(place):
    """The script says in one line that completion has to begin first."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not on this machine")
    (place / "script").write_text(script("zsh"))
    done = subprocess.run(
        ["zsh", "-f", "-c", f". {place}/script"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "autoload -Uz compinit && compinit" in done.stderr
