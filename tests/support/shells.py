"""Real shells for tests: how each is started, and how its users say what they want of Esker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.terminal import on_a_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SHELLS", "Person", "Result", "Shell"]


class Shell(NamedTuple):
    """A kind of shell."""

    name: str
    script: tuple[str, ...]
    """The arguments with which it reads no start-up file and runs a script, whose path follows."""
    interactive: tuple[str, ...]
    """The arguments with which it reads its start-up file and then commands from a terminal."""
    rc: str
    """The start-up file below HOME."""
    prompt: str
    """The line of that file that makes the prompt `> `, and leaves the screen as it was typed."""
    evaluate: str
    """How it evaluates the output of the command `{}`."""

    def evaluated(self, command: str) -> str:
        """Return the line that evaluates the output of a command."""
        return self.evaluate.format(command)

    def exported(self, name: str, value: str) -> str:
        """Return the line that exports a variable with a simple value."""
        patterns = {"fish": "set -gx {} '{}'", "tcsh": "setenv {} '{}'"}
        return patterns.get(self.name, "export {}='{}'").format(name, value)


_BACKTICKS = 'eval "`{}`"'
SHELLS = (
    Shell(
        "bash",
        ("bash", "--noprofile", "--norc"),
        ("bash", "--noprofile", "-i"),
        ".bashrc",
        "PS1='> '",
        'eval "$({})"',
    ),
    Shell("zsh", ("zsh", "-f"), ("zsh", "-i"), ".zshrc", "PS1='> '; unsetopt zle prompt_sp", 'eval "$({})"'),
    Shell(
        "fish",
        ("fish", "--no-config"),
        ("fish", "-i"),
        ".config/fish/config.fish",
        "function fish_prompt; echo -n '> '; end; function fish_greeting; end; set -g fish_autosuggestion_enabled 0",
        "{} | source",
    ),
    Shell("tcsh", ("tcsh", "-f"), ("tcsh",), ".tcshrc", "set prompt = '> '; unset edit", _BACKTICKS),
)


class Result(NamedTuple):
    """How a script ended, and what it printed."""

    status: int
    out: str
    err: str


class Person:
    """Somebody with a home directory and with `esker` on PATH, who uses one kind of shell."""

    def __init__(self, shell: Shell, environ: Mapping[str, str], place: Path) -> None:
        if shutil.which(shell.name) is None:
            pytest.skip(f"{shell.name} is not on this machine")
        self.shell = shell
        self.place = place
        programs = place / "programs"
        programs.mkdir()
        program = programs / "esker"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m esker "$@"\n')
        program.chmod(0o755)
        runtime = place / "run"
        runtime.mkdir(0o700)
        self.home = place / "home"
        self.path = f"{programs}:/usr/bin:/bin"
        self.environ = {
            **environ,
            "PATH": self.path,
            "HOME": str(self.home),
            "SHELL": shutil.which(shell.name) or shell.name,
            "XDG_RUNTIME_DIR": str(runtime),
            "NO_COLOR": "1",
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "HISTFILE": "/dev/null",
        }

    def project(self, manifest: str = 'schema-version = "1.14.0"\n', name: str = "project") -> Path:
        """Make a project with a manifest, and return its directory."""
        directory = self.place / name
        (directory / ".flox/env").mkdir(parents=True)
        (directory / ".flox/env.json").write_text(json.dumps({"name": name, "version": 1}))
        (directory / ".flox/env/manifest.toml").write_text(manifest)
        return directory

    def run(self, script: str, *, stdin: str | None = "", **variables: str | None) -> Result:
        """Run a script in the person's shell, in the project's directory; a variable that is None is unset."""
        merged = {**self.environ, **variables}
        file = self.place / "script"
        file.write_text(script + "\n")
        done = subprocess.run(
            [*self.shell.script, str(file)],
            cwd=self.place / "project",
            env={name: value for name, value in merged.items() if value is not None},
            input=os.fsencode(stdin or ""),
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))

    def variables(self, script: str, **variables: str | None) -> dict[str, str]:
        """Return the variables of a program that the shell starts after a script, which prints nothing to stderr."""
        done = self.run(f"{script}\nenv -0", **variables)
        assert done.err == ""
        pairs = (entry.split("=", 1) for entry in done.out.split("\0") if "=" in entry)
        return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}

    def typed(self, *lines: str, rc: str = "", end: str = "exit 0\n") -> str:
        """Type lines into an interactive shell, each after the last one has ended; return what the terminal shows."""
        file = self.home / self.shell.rc
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{self.shell.prompt}\n{rc}\n")
        pairs, ready = [], "> "
        for number, line in enumerate(lines, 1):
            pairs.append((ready, f"{line}\nexpr 7000 + {number}\n"))
            ready = f"{7000 + number}\r"
        pairs.append((ready, end * 4))
        received = on_a_terminal(
            list(self.shell.interactive), environ=self.environ, cwd=self.place / "project", typed=pairs
        )
        return received.replace("\r", "")
