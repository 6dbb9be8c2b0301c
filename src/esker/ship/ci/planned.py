"""From a project to the job that tests it: which tool, command, systems and services."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from esker.declare.declaration import Declaration
from esker.declare.discover import OTHER_DECLARATIONS
from esker.declare.missing_packages import counted_packages, named, origins
from esker.errors import UsageError
from esker.formats.manifest import SCHEMAS, Manifest, StorePathPackage
from esker.lock.lock_files import lock_paths
from esker.ship.ci.choices import Choices, Tool
from esker.ship.ci.containers import NotAlike, containers
from esker.ship.ci.job import Container, Job
from esker.ship.ci.project_kinds import implied_test
from esker.ship.ci.versions import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Place", "planned", "standing"]

_OWNERS: dict[str, Tool] = {".flox": "flox", "flake.nix": "nix", "shell.nix": "nix", "manifest.scm": "guix"}
"""By what declares an environment: the tool whose own it is. Esker alone enters a Python project."""
_OF_RUNTIMES = {"nix": "flake.nix", "guix": "manifest.scm"}
"""What a `.flox` takes the toolchain from, by the `runtime` that its manifest names."""
_FIRST = "x86_64-linux"
"""The system to test on where a project declares none."""
_LOCKS = {"flake.nix": ("flake.lock",), "manifest.scm": ("channels.scm",)}


class Place(NamedTuple):
    """Where a project lies."""

    project: str
    """The project directory, absolute."""
    top: str
    """The top of its repository."""

    @property
    def directory(self) -> str:
        """The project directory below the top."""
        return os.path.relpath(self.project, self.top)


def standing(place: Place, tool: Tool) -> str:
    """Return the declaration that a job enters by a tool; raises UsageError if the project has none for it."""
    there = [name for name in (".flox", *OTHER_DECLARATIONS) if os.path.exists(f"{place.project}/{name}")]
    for name in there:
        if tool in {"esker", _OWNERS.get(name)}:
            return name
    needed = " or ".join(f"`{name}`" for name, owner in _OWNERS.items() if owner == tool)
    listed = " and ".join(f"`{name}`" for name in there) or "no declaration"
    raise UsageError(f"`{tool}` needs {needed}, and the project has {listed}", hint="let Esker enter: --through esker")


def planned(
    place: Place,
    declaration: Declaration | None,
    environ: Mapping[str, str],
    *,
    given: Choices,
    kept: Choices,
    offered: Mapping[str, str],
    say: Callable[[str], object],
) -> Job:
    """Return the job, by what the caller has `given`, what the declaration says, and what the file has `kept`.

    They come in this order: what the declaration says needs no memory, and what it does not say stays as it was chosen.

    The `declaration` is that of `.flox`. It also says what is tested where another tool enters the environment; a
    project without one has the Compose files that lie there. `offered` are the systems that the host has. What was
    chosen for the project is told to `say`. Raises UsageError for a system that the host lacks, NotFound if nothing
    says how the project is tested, and ServiceError.
    """
    declared = declaration or Declaration(
        project=place.project, name=os.path.basename(place.project), manifest=Manifest(schema=SCHEMAS[-1])
    )
    own = _said(declared)
    _tell(given, own, kept, say, has_manifest=declaration is not None)
    chosen = given.over(own).over(kept)
    tool = chosen.through or "esker"
    kind = standing(place, tool)
    if not place.directory.isprintable():
        raise UsageError(f"a workflow cannot name the directory {place.directory!a}", hint="give it another name")
    test = chosen.test
    if not test:
        file, test = implied_test(declared)
        say(f"The test command is `{test[-1]}`, because of `{file}`.")
    if tool == "esker":
        _check_packages(declared, chosen)
    run_beside, starts = _services(declared, environ, say)
    if starts and tool in {"nix", "guix"}:
        say(f"`{tool}` starts no services: put what starts them before the tests, or let Esker enter the environment.")
        starts = False
    reason = "the host runs containers beside a job on Linux alone" if run_beside else ""
    if starts and tool == "esker":
        reason = "Esker runs services on Linux alone"
    return Job(
        name=declared.name,
        directory=place.directory,
        declaration=_OF_RUNTIMES.get(declared.esker.runtime, kind),
        test=_entered(place, kind, test, tool),
        systems=_systems(declared, {**offered, **declared.esker.ci.runners}, reason, say),
        runners=declared.esker.ci.runners,
        tool=tool,
        starts_services=starts,
        containers=run_beside,
        locks=_locks(place, kind, declared),
        has_profile=declared.manifest.profile is not None,
        action=chosen.action or ACTIONS["esker"],
        image=chosen.image,
        without_packages=chosen.without_packages and kind == ".flox",
        has_store=kind == ".flox",
        choices=given.over(kept).without(own),
    )


def _said(declared: Declaration) -> Choices:
    """Return what the manifest says of what can be chosen."""
    table = declared.esker.ci
    return Choices(table.test, None, table.action or "", table.image or "", table.without_packages)


def _tell(given: Choices, own: Choices, kept: Choices, say: Callable[[str], object], *, has_manifest: bool) -> None:
    """Say which choices count that are no longer on the command line, and where those belong that are."""
    for name, value in given._asdict().items():
        option = f"`--{name.replace('_', '-')}`"
        said, before = getattr(own, name), getattr(kept, name)
        if value and said and value != said:
            say(f"{option} counts this time. Without it, the manifest does: `{_written(name, said)}`.")
        elif value and value != said:
            end = ""
            if has_manifest and name != "through":
                end = f" To have it for every host: `{_written(name, value)}` in [plugins.esker.ci]."
            say(f"{option} stays in the workflow when it is written again.{end}")
        elif before and not value and not said:
            say(f"{option} is as the workflow remembers it: `{_written(name, before)}`.")
        elif before and not value and before != said:
            say(f"The manifest counts, and no longer the {option} of the workflow: `{_written(name, said)}`.")


def _written(name: str, value: object) -> str:
    """Return a choice as a line of the manifest."""
    if isinstance(value, tuple) and len(value) == 1:
        (value,) = value
    return f"{name.replace('_', '-')} = {json.dumps(value)}"


def _check_packages(declared: Declaration, chosen: Choices) -> None:
    """Raise UsageError if the job would need packages that no fresh machine has: Esker fetches none of Flox's."""
    install = declared.manifest.install
    names = [name for name, package in install.items() if not isinstance(package, StorePathPackage)]
    if names and not chosen.without_packages:
        raise UsageError(
            f"{counted_packages(names)} cannot be had on a job's machine, because Esker cannot fetch them: "
            f"{named(names)} ({origins(install, names)})",
            hint="let Flox enter the environment: --through flox (on GitHub); or take what the machine of the job has: "
            "--without-packages",
        )


def _systems(
    declared: Declaration, offered: Iterable[str], why_linux: str, say: Callable[[str], object]
) -> tuple[str, ...]:
    """Return the declared systems for which there are machines, the host's or declared ones, in the host's order.

    With a reason why the job can run on Linux alone (`why_linux`), the other systems are left out.
    """
    wanted = declared.manifest.options.systems
    if wanted is None:
        say(f"The project declares no systems: the job is for {_FIRST}.")
        wanted = (_FIRST,)
    usable = [each for each in offered if not why_linux or each.endswith("linux")]
    here = tuple(each for each in usable if each in wanted)
    without = sorted(set(wanted) - set(offered))
    if without:
        say(f"Left out: {', '.join(without)}; the host offers no such machine.")
    if not_linux := sorted(set(wanted) - {*here, *without}):
        say(f"Left out: {', '.join(not_linux)}; {why_linux}.")
    listed = ", ".join(usable)
    if not here and not_linux:
        raise UsageError(
            f"none of the declared systems can run the job: {', '.join(not_linux)} cannot, because {why_linux}",
            hint=f"add a Linux system to options.systems{f', such as {listed}' if listed else ''}",
        )
    if not here:
        raise UsageError(
            f"the host has no machine for {', '.join(wanted)}",
            hint=f"add one of {listed} to options.systems, or name a machine of yours: `runners` in [plugins.esker.ci]",
        )
    return here


def _services(
    declared: Declaration, environ: Mapping[str, str], say: Callable[[str], object]
) -> tuple[Mapping[str, Container], bool]:
    """Return the containers that the host runs, and whether the job starts services by itself."""
    table = declared.esker.compose
    chosen = table.services_from if table else None
    own = {*declared.manifest.services.services} if declared.manifest.services else set()
    if own and (table is None or (chosen == "supervised" and {*table.chosen} <= own and table.chosen)):
        return {}, True
    try:
        found = containers(declared, environ, say)
    except NotAlike as reason:
        say(f"The job starts the services with Compose, and the host of the job does not: {reason}.")
        return {}, True
    others = own - (found.keys() if chosen == "compose" else set())
    if others and found:
        say(f"The job starts {named(sorted(found))} with Compose, beside {named(sorted(others))} of [services].")
    return {} if others else found, bool(others)


def _entered(place: Place, kind: str, test: tuple[str, ...], tool: Tool) -> tuple[str, ...]:
    """Return the commands, after those that a shell of Guix needs first: it has no hooks of its own."""
    if tool == "guix" and kind == "manifest.scm" and os.path.isfile(f"{place.project}/setup-env.sh"):
        return (". ./setup-env.sh", *test)
    return test


def _locks(place: Place, kind: str, declared: Declaration) -> tuple[str, ...]:
    if kind != ".flox":
        return tuple(name for name in _LOCKS.get(kind, ()) if os.path.isfile(f"{place.project}/{name}"))
    paths = (path for path in lock_paths(declared).values() if os.path.isfile(path))
    return tuple(os.path.relpath(path, place.project) for path in paths)
