"""What uv says when a repository, a directory or an archive cannot be locked, in words that name what to mend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import HostError, ResolutionFailed
from esker.formats.urls import redact, redact_repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.lock.uv_sources import Source

__all__ = ["source_refusal"]

_PACKAGE = re.compile(r"Failed to (?:download and build|build|download|generate package metadata for|prepare) `(\S+)")
_REVISION = re.compile(r"failed to fetch (?P<kind>commit|branch|tag|branch or tag|rev(?:ision)?) `(?P<name>[^`]+)`")
_ABSENT = re.compile(r"not our ref|couldn't find remote ref|no such ref|unadvertised object|not found in upstream")
_NO_GIT = "Git executable not found"
_GIT_FAILED = "Git operation failed"
_UNKNOWN_REVISION = re.compile(r"ambiguous argument '(?P<name>[^']+?)(?:\^0)?': unknown revision")
_INVALID_PROJECT = re.compile(r"Invalid `pyproject\.toml`\n(?P<reason>.*?)(?=\n\s*\n?hint:|\Z)", re.DOTALL)
_REQUIREMENTS = re.compile(r"from `build-system\.requires`.*Because (?P<reason>.*?), we can conclude", re.DOTALL)
_NO_HOST = re.compile(r"Could not resolve host|Connection (?:refused|timed out)|Network is unreachable")
_DISABLED = re.compile(r"[Bb]uilding source distributions for `(?P<name>[^`]+)` is disabled")
_BACKEND = re.compile(r"Call to `(?P<hook>[^`]+)` failed[^\n]*\n(?P<output>.*?)(?=\n\s*\n?hint:|\Z)", re.DOTALL)
_OTHER_NAME = re.compile(r"name `(?P<found>[^`]+)` does not match given name `(?P<name>[^`]+)`")
_STATUS = re.compile(r"HTTP status client error \((\d{3}[^)]*)\)")
_MARGIN = "         "
_LAST_LINES = 12


def source_refusal(output: str, sources: Sequence[Source]) -> HostError | ResolutionFailed | None:
    """Return the error for a source that could not be locked; None if something else has failed.

    `output` is what uv wrote, without credentials.
    """
    match = _PACKAGE.search(output)
    name = match[1].partition("==")[0].rstrip("`") if match else ""
    if _NO_GIT in output:
        return HostError(f"git is not installed, and `{name}` comes from a repository", hint="install git")
    source = next((each for each in sources if each.name == name), None)
    if _GIT_FAILED in output:
        return _git_refusal(output, name, source)
    status = _STATUS.search(output)
    if status and source is not None and source.kind == "url":
        address = redact(source.address.partition("#")[0])
        return ResolutionFailed(f"`{address}` was refused ({status[1]})", hint="mend its address")
    return _build_refusal(output, name, is_declared=source is not None)


def _build_refusal(output: str, name: str, *, is_declared: bool) -> ResolutionFailed | None:
    other = _OTHER_NAME.search(output)
    if other:
        return ResolutionFailed(
            f"the source of `{other['name']}` holds another package, `{other['found']}`",
            hint="mend its name in `dependencies` and in [tool.uv.sources], or its address",
        )
    backend = _BACKEND.search(output)
    if backend:
        lines = [line.removeprefix(_MARGIN) for line in backend["output"].strip("\n").split("\n")]
        lines = [line for line in lines if line.strip() and line.strip() not in {"[stderr]", "[stdout]"}]
        return ResolutionFailed(
            f"the build backend of `{name}` failed, `{backend['hook']}`:\n" + "\n".join(lines[-_LAST_LINES:]),
            hint="mend its code, or install what it needs; then: esker lock",
        )
    invalid = _INVALID_PROJECT.search(output)
    if invalid:
        lines = [line.strip().removeprefix("cause: ") for line in invalid["reason"].strip().split("\n")]
        reason = ": ".join(dict.fromkeys((lines[0], lines[-1])))
        return ResolutionFailed(f"the pyproject.toml of `{name}` is not valid: {reason}", hint="mend it in its source")
    requirements = _REQUIREMENTS.search(output)
    if requirements:
        reason = " ".join(requirements["reason"].split())
        return ResolutionFailed(
            f"what `{name}` needs to be built cannot be had: {reason}",
            hint="change `requires` in its [build-system], or name the index that has it in UV_INDEX",
        )
    disabled = _DISABLED.search(output)
    if disabled and not is_declared and "@ " in output:
        return ResolutionFailed(
            f"`{disabled['name']}` has to be built, which nothing in this project asks for",
            hint=f'another package brings it: if you trust its author, name it in build = ["{disabled["name"]}"]',
        )
    return None


def _git_refusal(output: str, name: str, source: Source | None) -> HostError | ResolutionFailed:
    where = f" of `{redact_repository(source.address)}`" if source else ""
    said = [line.strip() for line in output.partition("--- stderr")[2].split("\n") if line.strip()]
    cause = said[0].removeprefix("fatal: ") if said else output.strip().rpartition("\n")[2].strip()
    if _NO_HOST.search(output):
        return HostError(f"`{name}` could not be fetched from its repository: {cause}", hint="check the network")
    revision = _REVISION.search(output)
    if revision and _ABSENT.search(output):
        return ResolutionFailed(
            f"`{name}` is taken from {revision['kind']} `{revision['name']}`{where}, which does not exist there",
            hint="push it, or name another one in [tool.uv.sources]",
        )
    unknown = _UNKNOWN_REVISION.search(output)
    if unknown:
        return ResolutionFailed(
            f"`{name}` is taken from revision `{unknown['name']}`{where}, which does not exist there",
            hint="push it, or name another one in [tool.uv.sources]",
        )
    return ResolutionFailed(
        f"the repository{where}, which `{name}` is taken from, could not be read: {cause}",
        hint="check its address, and your access to it (git clone)",
    )
