"""Pythons that uv fetches: where they lie, and fetching one that no interpreter of this machine can stand in for.

They lie in uv's own directory, so that uv and Esker share them, each in one of its own, such as
`cpython-3.12.1-linux-x86_64-gnu`. uv checks the hash of what it fetches, and renames a Python into place when it is
complete.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, HostError
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import is_unreachable, run_uv
from esker.progress import reporting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.progress import Progress

__all__ = ["PythonDownloads", "fetched_pythons"]

_DIRECTORY = re.compile(r"cpython-(3)\.(\d+)\.(\d+)-[^+]+")
"""The directory of one Python; those with a `+` are variants, such as free-threaded ones."""
_SIZE = re.compile(r"^ *Downloading .*\((?P<size>[0-9.]+ ?[KMG]i?B)\)$", re.MULTILINE)
_VERSION = re.compile(r"^Installed Python (?P<version>\S+)", re.MULTILINE)
_UNKNOWN = "No download found"
_FORBIDDEN = "Python downloads are not allowed"
_READABLE = 0o444
_ENTERABLE = 0o555


def fetched_pythons(directory: str) -> list[str]:
    """Return the programs of the Pythons that lie in uv's directory, newest first."""
    try:
        matches = [match for name in os.listdir(directory) if (match := _DIRECTORY.fullmatch(name))]
    except OSError:
        return []
    matches.sort(key=lambda match: [int(number) for number in match.groups()], reverse=True)
    return [f"{directory}/{match[0]}/bin/python{match[1]}.{match[2]}" for match in matches]


class PythonDownloads(NamedTuple):
    """Where a Python is fetched to, and how."""

    directory: str
    variables: Mapping[str, str]
    """What uv is run with; they may name a mirror."""
    progress: Progress
    shared: bool = False
    """Whether every user has to be able to run it, as root's services run under other uids."""

    def fetch(self, specifier: str, wanted: str) -> str | None:
        """Fetch the newest CPython that satisfies `specifier`; `wanted` is what people read of that.

        Return None, or why there is none to fetch, as the end of a sentence. Raises HostError if the machine is at
        fault: a full disk, a directory that cannot be written, a file that is not what uv expects.
        """
        request = specifier.replace("===", "==") or "3"
        command = ["python", "install", "--no-bin", "--install-dir", self.directory, request]
        with reporting(self.progress), scratch("python") as elsewhere:
            self.progress.begin(f"Fetching {wanted} into {self.directory}")
            try:
                with files.refused("write", self.directory):
                    missing = _missing(self.directory)
                    files.make_directory(self.directory, mode=0o755)
                    for path in missing if self.shared else ():
                        os.chmod(path, 0o755)  # despite the umask  # noqa: S103  # every user has to get in
                messages = run_uv(command, self.variables, cwd=elsewhere, python_downloads=True)
            except CommandFailed as failure:
                unfetched = self._unfetched(failure)
                self.progress.fail()  # the caller tells why
                return unfetched
            if self.shared:
                _open(self.directory)
            version, size = _VERSION.search(messages), _SIZE.search(messages)
            what = f"Python {version['version']}" if version else wanted
            amount = f", {size['size']}" if size else ""
            self.progress.finish(f"{what}{amount}, in {self.directory}")
        return None

    def _unfetched(self, failure: CommandFailed) -> str:
        if _UNKNOWN in failure.output:
            return "uv knows none to fetch"
        if _FORBIDDEN in failure.output:
            return "uv's configuration forbids to fetch one (`python-downloads`)"
        if is_unreachable(failure):
            return "none could be fetched without a network"
        cause = " ".join(failure.output.partition("error: ")[2].split()) or failure.message
        raise HostError(
            f"a Python could not be fetched into `{self.directory}`: {cause}",
            hint="make room there, or name another place in UV_PYTHON_INSTALL_DIR",
        ) from failure


def _missing(directory: str) -> list[str]:
    """Return `directory` and those above it that do not exist."""
    missing = []
    while not os.path.exists(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing


def _open(directory: str) -> None:
    """Let every user read and run what lies in a directory, whatever the umask was."""
    for path, names, below in os.walk(directory):
        os.chmod(path, os.stat(path).st_mode | _ENTERABLE)
        for name in below:
            file = f"{path}/{name}"
            if not os.path.islink(file):
                mode = os.stat(file).st_mode
                os.chmod(file, mode | (_ENTERABLE if mode & 0o100 else _READABLE))
        names[:] = [name for name in names if name != ".temp"]
