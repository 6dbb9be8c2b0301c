"""The uv program: finding the one that is installed with Esker, running it, and explaining its failures."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, HostError, NotFound, TimedOut
from esker.formats.urls import redact
from esker.host import prctl
from esker.host.certificates import certificate_bundle
from esker.host.child import child
from esker.host.process import find_program
from esker.host.routes import has_way_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "LOCKED_ELSEWHERE",
    "is_gone",
    "is_unreachable",
    "run_uv",
    "run_uv_asking_again",
    "uv_output",
    "uv_program",
    "uv_version",
]

LOCKED_ELSEWHERE = (
    "it may have been locked from another index, which UV_DEFAULT_INDEX or UV_INDEX can name, or be too new for this "
    "one; `esker lock --upgrade` would take what this index has, which may be older"
)
"""The hint where an index does not have what is locked."""

_UNREACHABLE = (
    "Failed to fetch",
    "error sending request",
    "dns error",
    "Could not connect",
    "Connection refused",
    "network was disabled",
    "network is disabled",
    "connectivity is disabled",
    "operation timed out",
)
"""Texts of uv's messages when it could not reach an index."""
_NEARBY = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
)
_ANSWER = "HTTP status client error"
"""The text when an index did answer, but with an error."""
_REFUSAL = re.compile(r"\b(?!404)(4\d\d [A-Z][A-Za-z ]+?)(?= error|\))")
_NO_CACHE = "Failed to initialize cache"
_GONE = re.compile(r"was not found in the package registry|there (is|are) no versions? of|404 Not Found")
_NAME = r"(?P<name>\w[\w.-]*)"
_ABSENT = tuple(
    re.compile(text.replace(" ", r"\s+").replace("NAME", _NAME))
    for text in (
        r"there (?:is|are) no versions? of NAME",
        r"only NAME\S* is available",
        r"only the following versions of NAME\S* are available",
        r"\bNAME(?:==\S+)? has no (?:usable wheels|wheels with a matching|`[^`]*`-compatible wheels)",
    )
)
"""What uv says of a package of which an index has not the version, or not the wheel, that it needs."""


def uv_program() -> str:
    """Return the path of the uv that came with Esker's own dependencies."""
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError as error:
        raise NotFound(
            "the `uv` program that Esker depends on is not where its package should have put it",
            hint="install it again: python -m pip install --force-reinstall uv",
        ) from error


def uv_command() -> str:
    """Return how a person starts uv: by its name if it is on PATH, else by the path of Esker's own."""
    return "uv" if find_program("uv", os.environ.get("PATH")) else shlex.quote(uv_program())


def uv_version() -> str:
    """Return the version of that uv."""
    from importlib.metadata import version

    return version("uv")


def run_uv(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    cwd: str,
    timeout: float | None = None,
    python_downloads: bool = False,
) -> str:
    """Run uv with exactly these variables and return what it wrote to stderr, redacted.

    It fetches a Python only with `python_downloads`. Raises CommandFailed, which holds that text, when uv fails, and
    TimedOut after `timeout` seconds. uv is killed when this process is killed, because nobody would clean up what it
    wrote after that.
    """
    return _messages(_completed(arguments, variables, cwd, timeout, python_downloads=python_downloads))


def run_uv_asking_again(arguments: Sequence[str], variables: Mapping[str, str], *, cwd: str) -> str:
    """Run uv as `run_uv` does; before it fails for what an index does not have, let it ask the index again for that.

    uv believes the page of a package for as long as the index allows, which is often ten minutes. Somebody may have
    locked a release that was published since. Without a network (UV_OFFLINE), nothing can be asked again.
    """
    names: list[str] = []
    while True:
        refreshed = [word for name in names for word in ("--refresh-package", name)]
        try:
            return run_uv([*arguments, *refreshed], variables, cwd=cwd)
        except CommandFailed as failure:
            new = sorted(_absent(failure.output) - {*names})
            if not new or variables.get("UV_OFFLINE"):
                raise
            names += new


def _absent(messages: str) -> set[str]:
    """Return the names of the packages of which uv has missed a version or a wheel."""
    return {match["name"] for text in _ABSENT for match in text.finditer(messages)}


def uv_output(arguments: Sequence[str], variables: Mapping[str, str], *, cwd: str) -> str:
    """Run uv as `run_uv` does, and return what it wrote to stdout."""
    return _completed(arguments, variables, cwd, None).stdout.decode(errors="replace")


def _messages(completed: subprocess.CompletedProcess[bytes]) -> str:
    return redact(completed.stderr.decode(errors="replace"))


def _completed(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    cwd: str,
    timeout: float | None,
    *,
    python_downloads: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    program = uv_program()
    # uv comes with its own certificate authorities, which do not include that of a company's proxy.
    downloads = [] if python_downloads else ["--no-python-downloads"]
    certificates = {"UV_SYSTEM_CERTS": "1"} if certificate_bundle() else {}
    retries = {"UV_HTTP_RETRIES": "0"} if _is_offline(variables) else {}
    command = [program, *arguments, "--no-progress", "--color", "never", *downloads]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**certificates, **retries, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),  # noqa: PLW1509  # safe in threads, as it says
        )

    try:
        with child(start) as process:
            written = process.communicate(timeout=timeout)
    except OSError as error:
        raise HostError(
            f"`{program}` could not be started: {error.strerror}",
            hint="install it again: python -m pip install --force-reinstall uv",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"`uv {arguments[0]}` did not end within {timeout:g} s") from error
    completed = subprocess.CompletedProcess(command, process.returncode, *written)
    if completed.returncode != 0:
        messages = _messages(completed)
        raise CommandFailed(
            f"`uv {' '.join(arguments[:2])}` ended with status {completed.returncode}",
            status=completed.returncode,
            output=messages,
            hint=_hint(messages),
        )
    return completed


def _is_offline(variables: Mapping[str, str]) -> bool:
    """Return whether no index can answer, so that uv need not ask again and again, which takes seven seconds.

    An index or a proxy that somebody has named may be in this machine's own network, which needs no default route.
    """
    return not any(variables.get(name) or variables.get(name.lower()) for name in _NEARBY) and not has_way_out()


def is_unreachable(failure: CommandFailed) -> bool:
    """Return whether uv failed because it could not reach an index."""
    return _unreachable(failure.output)


def is_gone(failure: CommandFailed) -> bool:
    """Return whether uv failed because an index does not have a file, a version or a package that is locked."""
    return _GONE.search(failure.output) is not None


def _unreachable(messages: str) -> bool:
    """Return whether no index answered; an error status, such as 404, counts as an answer."""
    return _ANSWER not in messages and any(text in messages for text in _UNREACHABLE)


def _hint(messages: str) -> str | None:
    if _unreachable(messages):
        return (
            "the package index cannot be reached: check the network, or the proxy and index settings (UV_DEFAULT_INDEX)"
        )
    refusal = _REFUSAL.search(messages)
    if refusal:
        return (
            f"a package index refused to answer ({refusal[1]}): check its address and credentials "
            "(UV_DEFAULT_INDEX, UV_INDEX) and the proxy's"
        )
    if "No space left" in messages:
        return f"the disk is full: free some space; this empties uv's cache: {uv_command()} cache clean"
    if _NO_CACHE in messages:
        return "set UV_CACHE_DIR to a directory that can be written"
    return None
