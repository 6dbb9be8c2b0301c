"""The `docker` command: its words for Compose, and what it says when it refuses, as an error with its remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, NoEngine, ServiceError, TimedOut
from esker.host import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from subprocess import CompletedProcess

__all__ = [
    "ANSWER_SECONDS",
    "GLANCE_SECONDS",
    "answered",
    "check_compose",
    "check_engine",
    "compose_command",
    "compose_refused",
    "compose_warnings",
    "engine_refused",
    "engine_silent",
    "orphans",
]

ANSWER_SECONDS = 15.0
"""Seconds within which the engine must have answered a question."""
GLANCE_SECONDS = 5.0
"""The same for a question whose answer the command can do without."""


_WORDS = 400
"""Characters of a failed command's output that a message has."""
_PLUGIN = "install Docker Compose v2, the plugin of the `docker` command"
_PORT = (
    "end what listens on that port, or take another one: for a port that Esker has chosen by "
    "`esker services ports --renew`, for others in the Compose file"
)
_NO_PASSWORD = re.compile(r"\.flox/cache/esker/[\w.-]+\.env not found")
_NO_NETWORK = re.compile(r"\bnetwork [0-9a-f]{12,64} not found")
_WARNING = re.compile(r'level=warning msg="((?:[^"\\]|\\.)*)"')
_ORPHANS = re.compile(r"Found orphan containers \(\[(.*?)\]\)")
_SAID_ELSEWHERE = ("variable is not set", "is obsolete", "Found orphan containers")
"""Unset variables and orphans have words of Esker's own; obsolete parts of a file change nothing of what runs."""
_START = "start the engine, or name another one in DOCKER_HOST or with `docker context use`"
_ABSENT = {
    "permission denied while trying": "join the group `docker`, or use a rootless engine; then log in again",
    "cannot connect": _START,
    "failed to connect to the docker api": _START,
    "error during connect": _START,
    "unable to resolve docker endpoint": _START,
    "is not a docker command": _PLUGIN,
    "unknown command: docker compose": _PLUGIN,
    "unknown shorthand flag": _PLUGIN,
    "unknown flag": _PLUGIN,
}
"""The hints for outputs that say that there is no engine, or no Compose."""
_HINTS = {
    **_ABSENT,
    "address already in use": _PORT,
    "port is already allocated": _PORT,
    "no such image": "pull or build it: docker compose pull, docker compose build",
    "catatonit": "install `catatonit`, with which Podman does `init: true`",
    "pull access denied": "log in with `docker login`, or correct the name of the image",
}
"""By words of the output, in lower case."""


def compose_command(files: Iterable[str], name: str | None = None) -> list[str]:
    """Return the first words of a Compose command for these files; paths in them begin where the first file lies."""
    named = [word for file in files for word in ("--file", file)]
    project = [] if name is None else ["--project-name", name]
    return ["docker", "compose", *named, *project]


def answered(
    words: Sequence[str],
    environ: Mapping[str, str],
    directory: str,
    *,
    seconds: float = ANSWER_SECONDS,
) -> CompletedProcess[str]:
    """Run a command of Docker's to its end, whatever its status; raises NoEngine if it has none in time."""
    try:
        return process.run(words, environ=environ, cwd=directory, timeout=seconds, check=False)
    except TimedOut:
        raise engine_silent(words, seconds) from None
    except CommandFailed as failure:  # it does not exist
        raise compose_refused(words, failure) from failure


def check_engine(environ: Mapping[str, str]) -> None:
    """Raise ServiceError if there is no `docker` command or no engine that answers."""
    _check(("docker", "ps", "--quiet", "--last", "1"), environ)


def check_compose(environ: Mapping[str, str]) -> None:
    """Raise ServiceError if there is no `docker` command or no Compose v2; asks no engine and reads no project."""
    _check(("docker", "compose", "version", "--short"), environ)


def _check(words: Sequence[str], environ: Mapping[str, str]) -> None:
    done = answered(words, environ, "/")
    if done.returncode != 0:
        failure = CommandFailed("", status=done.returncode, output=done.stderr or done.stdout)
        raise compose_refused(words, failure)


def engine_refused(text: str) -> ServiceError:
    """Return the error for a command of the engine that has failed, from what it printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "annot" in line or line.startswith("docker: ")]
    telling = telling or [line for line in lines if any(words in line.lower() for words in _HINTS)]
    telling = telling or lines[-1:] or ["it said nothing"]
    told = telling[0].removeprefix("Error response from daemon: ")[:_WORDS]
    kind = NoEngine if any(words in text.lower() for words in _ABSENT) else ServiceError
    return kind(f"the container engine refuses: {told}", hint=_hint(text))


def compose_warnings(text: str) -> list[str]:
    r"""Return what Compose warns of in its output while it makes containers, each once.

    >>> compose_warnings(r'time="now" level=warning msg="volume \"data\" already exists"')
    ['volume "data" already exists']
    """
    found = dict.fromkeys(re.sub(r"\\(.)", r"\1", message) for message in _WARNING.findall(text))
    return [each[:_WORDS] for each in found if not any(words in each for words in _SAID_ELSEWHERE)]


def orphans(text: str) -> set[str]:
    """Return the containers of which Compose says in its output that its files do not have their services."""
    return {name for listed in _ORPHANS.findall(text) for name in listed.split()}


def engine_silent(words: Sequence[str], seconds: float) -> NoEngine:
    """Return the error for a command of the engine that has not ended in time."""
    return NoEngine(
        f"the container engine does not answer: `{' '.join(words[:2])}` has not ended within {seconds:g} s",
        hint="restart the engine, or name another one in DOCKER_HOST or with `docker context use`",
    )


def compose_refused(words: Sequence[str], failure: CommandFailed) -> ServiceError:
    """Return the error for a command that reads the project's files, from what it printed."""
    if failure.status in {process.NOT_FOUND, process.NOT_EXECUTABLE} and not failure.output.strip():
        return NoEngine(
            "the command `docker` is not here",
            hint="install Docker (or Podman with its `docker` command) and Compose v2",
        )
    hint = _hint(failure.output)
    if hint is not None or "compose" not in words[:2]:
        return engine_refused(failure.output)
    lines = [line.strip() for line in failure.output.splitlines() if line.strip()]
    told = "; ".join(lines[-2:] if len(lines) > 1 and lines[-1].startswith("line") else lines[-1:])
    return ServiceError(
        f"Compose refuses the project's files: {told or 'it said nothing'}", hint="correct the Compose file"
    )


def _hint(text: str) -> str | None:
    if _NO_PASSWORD.search(text):  # it is made in each checkout, and not in the repository
        return "make this checkout's password: esker services add NAME --container"
    if _NO_NETWORK.search(text):  # Compose does not see it: its `up` fails alike
        return (
            "its network was removed: have Compose make the container anew, which keeps its volumes and nothing else: "
            "esker activate -- docker compose up --no-start --no-deps --force-recreate NAME"
        )
    return next((hint for words, hint in _HINTS.items() if words in text.lower()), None)
