"""GitHub's workflow of a project: a file in `.github/workflows`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.ship.ci import choices, marked, yaml
from esker.ship.ci.versions import ACTIONS, GITHUB_RUNNERS

if TYPE_CHECKING:
    from esker.ship.ci.job import Container, Job
    from esker.ship.ci.yaml import Value

__all__ = ["file_name", "workflow"]

_COMMAND = "ESKER_CI_COMMAND"
_WORDS = re.compile(r"[A-Za-z0-9_./:=,@%+-]+( [A-Za-z0-9_./:=,@%+-]+)*")
"""Commands that are the same words in every shell."""
_EXPLAINED = """\
# What stands between `esker: yours` and `esker: end` is yours and stays. For everything else, change the declaration
# and run `esker ci github` again; with --check it fails while this file is not what the declaration says.
"""


def file_name(directory: str) -> str:
    """Return the name of the workflow's file for a project directory below the top of the repository.

    >>> file_name("."), file_name("examples/items")
    ('esker.yml', 'esker-examples-items.yml')
    """
    words = re.sub(r"[^A-Za-z0-9]+", "-", directory).strip("-").lower()
    return f"esker-{words}.yml" if words else "esker.yml"


def workflow(job: Job) -> str:
    """Return the text of the workflow."""
    lines = [
        *choices.line(job.choices),
        *_EXPLAINED.splitlines(),
        *yaml.lines({"name": f"Test {job.name}".replace("${{", "$ {{"), "on": {"push": None, "pull_request": None}}),
        *marked.place("triggers", 2),
        *yaml.lines({"permissions": {"contents": "read"}}),
        *_concurrency(),
        "jobs:",
        "  test:",
        *yaml.lines(_head(job), 4),
        *marked.place("keys-of-test", 4),
        "    steps:",
        *yaml.lines([{"uses": ACTIONS["checkout"], "with": {"persist-credentials": False}}], 6),
        *yaml.lines(_environment(job), 6),
        *marked.place("steps-before-test", 6),
        *yaml.lines(_test(job), 6),
        *marked.place("steps-after-test", 6),
        *marked.place("jobs", 2),
    ]
    return marked.finished(lines, "esker ci github")


def _concurrency() -> list[str]:
    return [
        "concurrency:",
        "  group: ${{ github.workflow }}-${{ github.ref }}",
        "  cancel-in-progress: ${{ github.event_name == 'pull_request' }}",
    ]


def _head(job: Job) -> dict[str, Value]:
    """Return the keys of a job before its steps."""
    head: dict[str, Value] = {}
    if len(job.systems) > 1:
        systems = [{"system": system, "runner": _runner(job, system)} for system in job.systems]
        head |= {
            "name": "test (${{ matrix.system }})",
            "strategy": {"fail-fast": False, "matrix": {"include": systems}},
            "runs-on": "${{ matrix.runner }}",
        }
    else:
        head |= {"runs-on": _runner(job, job.systems[0])}
    head["timeout-minutes"] = 60
    if job.containers:
        head["services"] = {name: _service(container) for name, container in job.containers.items()}
    return head


def _runner(job: Job, system: str) -> Value:
    labels = job.runners.get(system) or (GITHUB_RUNNERS[system],)
    return labels[0] if len(labels) == 1 else list(labels)


def _service(container: Container) -> dict[str, Value]:
    service: dict[str, Value] = {"image": _text(container.image)}
    if container.environment:
        service["env"] = {name: _text(value) for name, value in container.environment.items()}
    if container.ports:
        service["ports"] = [
            f"{published}:{target}" if protocol == "tcp" else f"{published}:{target}/{protocol}"
            for published, target, protocol in container.ports
        ]
    if container.health:
        service["options"] = _text(" ".join(f'--health-{name} "{value}"' for name, value in container.health.items()))
    return service


def _environment(job: Job) -> list[Value]:
    """Return the steps that install the environment."""
    own: dict[str, list[Value]] = {
        "flox": [{"name": "Install Flox", "uses": ACTIONS["install-flox"]}],
        "nix": [
            {"name": "Install Nix", "uses": ACTIONS["install-nix"], "with": {"determinate": False}},
            {"name": "Keep what Nix builds", "uses": ACTIONS["cache-nix"], "with": {"use-flakehub": False}},
        ],
        "guix": [{"name": "Install Guix", "uses": ACTIONS["install-guix"]}],
    }
    if job.tool != "esker":
        return own[job.tool]
    return own.get({"flake.nix": "nix", "shell.nix": "nix", "manifest.scm": "guix"}.get(job.declaration, ""), [])


def _test(job: Job) -> list[Value]:
    if job.tool == "esker":
        settings: dict[str, Value] = {"command": _text(job.command)}
        if job.directory != ".":
            settings = {"directory": _text(job.directory), **settings}
        if job.starts_services:
            settings["services"] = True
        if job.without_packages:
            settings["without-packages"] = True
        return [{"name": "Test in the declared environment", "uses": job.action, "with": settings}]
    if job.tool == "flox" and not job.has_profile and not job.starts_services and job.directory == ".":
        words = all(_WORDS.fullmatch(line) for line in job.test)
        if words:  # the action puts the words into a script as they are
            return [{"name": line, "uses": ACTIONS["activate-flox"], "with": {"command": line}} for line in job.test]
    entered = {
        "flox": f'flox activate{" --start-services" if job.starts_services else ""} -c "${_COMMAND}"',
        "nix": f'nix-shell --run "${_COMMAND}"'
        if job.declaration == "shell.nix"
        else f'nix develop --command bash -c "${_COMMAND}"',
        "guix": f'guix {_pinned(job)}shell -m manifest.scm -- bash -c "${_COMMAND}"',
    }[job.tool]
    step: dict[str, Value] = {"name": "Test in the declared environment", "env": {_COMMAND: _text(job.command)}}
    if job.directory != ".":
        step["working-directory"] = _text(job.directory)
    return [{**step, "run": entered}]


def _pinned(job: Job) -> str:
    """Return what makes the guix that a project has pinned of the newest one."""
    return "time-machine -C channels.scm -- " if "channels.scm" in job.locks else ""


def _text(text: str) -> str:
    """Return a text in which GitHub evaluates nothing.

    >>> _text("a ${{ b }}")
    "a ${{ '${{' }} b }}"
    """
    return text.replace("${{", "${{ '${{' }}")
