"""GitLab's pipeline of a project: `.gitlab-ci.yml`, and the file that it includes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from esker.errors import UsageError
from esker.ship.ci import choices, marked, yaml
from esker.ship.ci.versions import GITLAB_IMAGE, GITLAB_TAGS

if TYPE_CHECKING:
    from esker.ship.ci.job import Container, Job
    from esker.ship.ci.yaml import Value

__all__ = ["INCLUDED", "included", "pipeline"]

INCLUDED = ".gitlab/esker.yml"
"""Where the included file lies, below the top of the repository."""
_EXPLAINED = """\
# What stands between `esker: yours` and `esker: end` is yours and stays. For everything else, change the declaration
# and run `esker ci gitlab` again; with --check it fails while this file is not what the declaration says.
"""
_MOST_KEYS = 2
"""Files that GitLab makes one key of."""


def pipeline(job: Job) -> str:
    """Return the text of `.gitlab-ci.yml`.

    Raises UsageError for a directory that GitLab would read as a pattern, and for an environment that needs another
    image than the usual one.
    """
    if not re.fullmatch(r"[\w ./@+,-]+", job.directory):
        raise UsageError(
            f"GitLab would not read the directory `{job.directory}` as it is: the paths of a cache are patterns",
            hint="give it a name without quotes, `$` and the signs of patterns",
        )
    tool = {"flake.nix": "Nix", "shell.nix": "Nix", "manifest.scm": "Guix"}.get(job.declaration)
    if tool and not job.image:
        raise UsageError(
            f"`{job.declaration}` needs {tool}, which the job's image `{GITLAB_IMAGE}` does not have",
            hint=f"name an image with {tool}, git and Python 3.11 or later: --image NAME",
        )
    cache = f"{_below(job, '.cache')}/esker"
    lines = [
        *choices.line(job.choices),
        *_EXPLAINED.splitlines(),
        "include:",
        *yaml.lines([{"local": INCLUDED}], 2),
        *marked.place("includes", 2),
        "test:",
        *yaml.lines({"extends": ".esker", "image": job.image or GITLAB_IMAGE, "timeout": "1h", **_machines(job)}, 2),
        "  variables:",
        *yaml.lines(_variables(job, cache), 4),
        *marked.place("variables", 4),
    ]
    if job.has_store:
        lines += yaml.lines({"cache": _cache(job, cache)}, 2)
    if job.containers:
        lines += yaml.lines({"services": [_service(name, each) for name, each in job.containers.items()]}, 2)
    lines += [*marked.place("keys-of-test", 2), *marked.place("jobs", 0)]
    return marked.finished(lines, "esker ci gitlab")


def included() -> str:
    """Return the text of the included file, which is the same for every project."""
    with open(os.path.join(os.path.dirname(__file__), "esker.gitlab.yml"), encoding="utf-8") as file:
        return marked.finished(file.read().splitlines(), "esker ci gitlab")


def _below(job: Job, path: str) -> str:
    return path if job.directory == "." else f"{job.directory}/{path}"


def _machines(job: Job) -> dict[str, Value]:
    """Return what chooses the machines; without it, the job runs on whatever the project's runners are.

    Raises UsageError for several tags of one machine among several: GitLab makes one tag of a variable.
    """
    if len(job.systems) == 1 and (tags := job.runners.get(job.systems[0])):
        return {"tags": list(tags)}
    if job.systems == ("x86_64-linux",):
        return {}
    machines: list[Value] = []
    for system in job.systems:
        tags = job.runners.get(system) or (GITLAB_TAGS[system],)
        if len(tags) > 1:
            raise UsageError(
                f"GitLab takes one tag a machine in a job for several systems, and {system} has {len(tags)}",
                hint="name one tag that these machines alone have, in `runners` of [plugins.esker.ci]",
            )
        machines.append({"SYSTEM": [system], "MACHINE": [tags[0]]})
    return {"parallel": {"matrix": machines}, "tags": ["$MACHINE"]}


def _variables(job: Job, cache: str) -> dict[str, Value]:
    variables: dict[str, Value] = {"ESKER_CI_COMMAND": _unexpanded(job.command)}
    if job.directory != ".":
        variables["ESKER_CI_DIRECTORY"] = _unexpanded(job.directory)
    if job.has_store:
        variables["ESKER_CI_CACHE"] = _unexpanded(cache)
    if job.starts_services:
        variables["ESKER_CI_SERVICES"] = "true"
    if job.without_packages:
        variables["ESKER_CI_WITHOUT_PACKAGES"] = "true"
    if job.containers:
        ports = [
            f"{published}={name}:{target}"
            for name, container in job.containers.items()
            for published, target, protocol in container.ports
            if protocol == "tcp"
        ]
        variables["ESKER_CI_FORWARD"] = _unexpanded(" ".join(ports))
    return variables


def _unexpanded(text: str) -> str:
    """Return a text in which GitLab expands no variable: it makes one dollar sign of two."""
    return text.replace("$", "$$")


def _cache(job: Job, path: str) -> Value:
    files: list[Value] = [_below(job, lock) for lock in job.locks[-_MOST_KEYS:]] or [_below(job, ".flox/env.json")]
    system = job.systems[0] if len(job.systems) == 1 else "$SYSTEM"  # the runner's own name of it has a `/`
    return {"key": {"files": files, "prefix": f"esker-{system}"}, "paths": [path]}


def _service(name: str, container: Container) -> Value:
    service: dict[str, Value] = {"name": container.image, "alias": name}
    if container.environment:
        service["variables"] = {each: _unexpanded(value) for each, value in container.environment.items()}
    return service
