"""The commands that are killed, each with the place where it starts and what a person runs after the kill."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esker.formats.conda.subdirs import SUBDIRS
from tests.faults.killed_command import KilledCommand
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import PLACEHOLDER
from tests.support.conda_package import package as conda_package
from tests.support.package_index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COMMANDS", "Case", "killed_command", "prepared"]

_SERVICE = '\n[services.web]\ncommand = "exec sleep 1000"\n'
_PYPROJECT = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
_COLLECT = "store gc --keep 1"
_CHANNEL = '\n[plugins.esker.conda]\nchannels = ["CHANNEL"]\ndependencies = ["made"]\n'


class Case(NamedTuple):
    """A command: what stands before it, and the commands that follow it; each is split at spaces."""

    command: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    manifest: str = ""
    """What is added to the manifest before the first command; CHANNEL stands for the address of a conda channel."""
    pyproject: str = ""
    """What the project's pyproject.toml says; empty if it has none."""
    changes: tuple[str, str] | None = None
    """A text of the manifest and what replaces it after the last command before."""


COMMANDS = {
    "init": Case(
        "init -d ../home/new",
        (),
        ("init -d ../home/new", "list -d ../home/new", "install -d ../home/new pypi/app", _COLLECT),
    ),
    "lock": Case(
        "lock",
        ("install pypi/app",),
        ("list", "lock", "lock --check", "activate -- tool", _COLLECT),
        changes=('"app"', '"app", "tool"'),
    ),
    "install": Case(
        "install pypi/tool", ("install pypi/app",), ("list", "install pypi/tool", "activate -- tool", _COLLECT)
    ),
    "install-conda": Case(
        "install conda/prog",
        ("install pypi/app",),
        ("list", "install conda/prog", "activate -- prog", "store verify", _COLLECT),
        manifest=_CHANNEL,
    ),
    "install-project": Case(
        "install --group dev pypi/tool",
        ("install pypi/app",),
        ("list", "install --group dev pypi/tool", "activate -- tool", _COLLECT),
        pyproject=_PYPROJECT,
    ),
    "uninstall-project": Case(
        "uninstall app",
        ("install pypi/tool", "install pypi/app"),
        ("list", "lock", "uninstall app", "activate -- tool", _COLLECT),
        pyproject=_PYPROJECT,
    ),
    "upgrade": Case("upgrade", ("install pypi/app",), ("list", "upgrade", "activate -- app", _COLLECT)),
    "uninstall": Case(
        "uninstall pypi/app", ("install pypi/app",), ("list", "uninstall pypi/app", "activate -- true", _COLLECT)
    ),
    "activate": Case(
        "activate -- tool", ("install pypi/app",), ("list", "activate -- tool", _COLLECT), changes=('"app"', '"tool"')
    ),
    "delete": Case("delete -f", ("install pypi/app",), ("delete -f", "init", _COLLECT)),
    "rollback": Case(
        "rollback", ("install pypi/app", "install pypi/tool"), ("list", "activate -- app", "store gc --keep 5")
    ),
    "switch": Case(
        "generations switch 1",
        ("install pypi/app", "install pypi/tool", "activate -- tool", "activate -m run -- tool"),
        ("generations list", "activate -- app", "activate -m run -- app", "generations switch 1", "store gc --keep 5"),
    ),
    "gc": Case(
        _COLLECT,
        ("install pypi/app", "install pypi/tool", "uninstall pypi/app"),
        ("list", "activate -- tool", _COLLECT, "store verify"),
    ),
    "start": Case(
        "services start",
        ("services start", "services stop"),
        ("services start", "services status", "services stop", _COLLECT),
        manifest=_SERVICE,
    ),
}


@contextmanager
def killed_command(name: str, top: Path) -> Iterator[KilledCommand]:
    """Prepare the place of a command below `top`, and give the command."""
    case = COMMANDS[name]
    with prepared(case, top / "place") as environ:
        yield KilledCommand(top / "place", environ, case.command.split(), [line.split() for line in case.after])


@contextmanager
def prepared(case: Case, place: Path) -> Iterator[dict[str, str]]:
    """Make the place of a command, run what stands before it, and give the variables with which it runs.

    The packages are those of this place alone. A collection spares what a process uses, and takes a path of another
    store that has the same name for its own: it would spare what a test beside this one uses.
    """
    own = str(place)
    for part in ("project", "home", "tmp", "uv-cache"):
        (place / part).mkdir(parents=True)
    with PackageIndex() as index, CondaChannel() as channel:
        for subdir in SUBDIRS.values():
            for name in ("made", "prog"):
                files = {f"bin/{name}": f"#!/bin/sh\necho {name} runs in {PLACEHOLDER}\n", f"share/{name}": own}
                channel.add(conda_package(name, "1.0", files, subdir=subdir))
        for package in ("app", "tool"):
            main = {f"{package}.py": f"# {own}\ndef main(): print('{package} runs')\n"}
            index.add(package, "1.0", main, scripts={package: f"{package}:main"})
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": f"{place}/home",
            "TMPDIR": f"{place}/tmp",
            "ESKER_STORE": f"{place}/store",
            "UV_CACHE_DIR": f"{place}/uv-cache",
            "UV_DEFAULT_INDEX": index.url,
            "UV_HTTP_RETRIES": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

        def run(line: str) -> None:
            argv = [sys.executable, "-m", "esker", *line.split()]
            subprocess.run(argv, cwd=place / "project", env=environ, check=True, capture_output=True)

        if case.pyproject:
            (place / "project/pyproject.toml").write_text(case.pyproject)
        run("init")
        manifest = place / "project/.flox/env/manifest.toml"
        manifest.write_text(manifest.read_text() + case.manifest.replace("CHANNEL", channel.url))
        for line in case.before:
            run(line)
        if case.changes:
            before = manifest.read_text()
            assert case.changes[0] in before
            manifest.write_text(before.replace(*case.changes))
        yield environ
