"""Decides between files of a project that say the same: what the first in the order of precedence says is taken.

The order is that of `READERS`. The Python packages are those of pyproject.toml, and with them those that pip is to add
to a conda environment; only without both do those of requirements.txt count. The conda packages are those of pixi.toml,
or else of environment.yml; the files that name single tools add what is not there yet.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import notations
from esker.declare.adopt.found import Found, left_out
from esker.declare.missing_packages import named
from esker.formats.abridged import abridged
from esker.formats.conda.specs import package_of_spec
from esker.formats.counted import counted, noun
from esker.formats.tables.reader import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esker.declare.adopt.found import Project, Spec

__all__ = ["MOST_TOLD", "Adopted", "joined"]

_CONDA = ("pixi.toml", "environment.yml", "environment.yaml")
MOST_TOLD = 50
"""Lines about one file: one that has more is hardly what its name says."""
_MOST_NAMED = 3
_PORT = re.compile(r"\$(?:\{PORT\b|PORT\b)")


class Adopted(NamedTuple):
    """What a new manifest takes. A pair is a value with the file that it came from."""

    project: Project | None = None
    python: tuple[str, str] | None = None
    requirements: tuple[tuple[str, str], ...] = ()
    specs: tuple[tuple[Spec, str], ...] = ()
    channels: tuple[tuple[str, ...], str] | None = None
    machine: tuple[Mapping[str, str], str] | None = None
    systems: tuple[tuple[str, ...], str] | None = None
    services: tuple[Mapping[str, str], str] = (MappingProxyType({}), "")
    variables: tuple[tuple[str, str, str], ...] = ()
    """Each with its value and the file that it came from."""
    port: str | None = None
    """The service that is to listen on `$PORT`."""
    taken: tuple[str, ...] = ()
    """A line for each file of which something was taken."""
    left_out: tuple[str, ...] = ()
    """A line for each thing that was not taken."""


def joined(founds: Iterable[Found], most: int | None = MOST_TOLD) -> Adopted:
    """Return what to take of the files that were found, given in their order of precedence.

    Of one file, at most so many things that are left out are told, and the others counted; None means all.
    """
    every = _without_wheels(_without_second_tools(_without_alternatives(list(founds))))
    every = _without_second_variables(_one_port(every))
    services = next(((each.services, each.file) for each in every if each.services), (MappingProxyType({}), ""))
    return Adopted(
        project=next((each.project for each in every if each.project), None),
        python=next(((each.python, each.file) for each in every if each.python), None),
        requirements=tuple((text, each.file) for each in every for text in each.requirements),
        specs=tuple((spec, each.file) for each in every for spec in each.specs),
        channels=next(((each.channels, each.file) for each in every if each.channels and each.specs), None),
        machine=next(((each.machine, each.file) for each in every if each.machine and each.specs), None),
        systems=next(((each.systems, each.file) for each in every if each.systems), None),
        services=services,
        variables=tuple((name, value, each.file) for each in every for name, value in each.variables.items()),
        port=next(iter(_with_port(services[0])), None),
        taken=tuple(_taken(each) for each in every if each.declares and not each.project),
        left_out=tuple(line for each in every for line in _few(each, most)),
    )


def _without_alternatives(founds: Sequence[Found]) -> list[Found]:
    """Take one conda environment, and requirements.txt only where no other file lists Python packages."""
    conda = next((each.file for each in founds if each.file in _CONDA and each.declares), None)
    kept = [each for each in founds if each.file not in _CONDA or each.file == conda]
    wheels = next((each for each in kept if each.project or each.requirements), None)

    def taken(found: Found) -> Found:
        if found.file in _CONDA and found.declares and found.file != conda:
            reason = f"the conda packages are those of {conda}"
        elif found.file == "requirements.txt" and wheels is not None and wheels.file != found.file:
            none = ", which lists none" if wheels.project and not wheels.project.names else ""
            reason = f"the Python packages are those of {wheels.file}{none}"
        else:
            return found
        return Found(found.file, left_out=(f"{found.file} is left out: {reason}",))

    return [taken(found) for found in founds]


def _without_second_tools(founds: Sequence[Found]) -> list[Found]:
    """Take each conda package, and the version of Python, from the first file that has it."""
    owners: dict[str, tuple[str, str]] = {}
    """By the name of a package: how the first file that has it asks for it, and that file."""

    def taken(found: Found) -> Found:
        asked = {spec: package_of_spec(spec.text) or spec.text for spec in found.specs}
        told = [
            left_out(found.file, spec.text, "{1} says `{0}`".format(*owners[name]))
            for spec, name in asked.items()
            if name in owners
        ]
        python = found.python
        if python is not None and "python" in owners:
            told.append(left_out(found.file, f"python {python}", "{1} says `{0}`".format(*owners["python"])))
            python = None
        specs = {spec: name for spec, name in asked.items() if name not in owners}
        owners.update((name, (spec.text, found.file)) for spec, name in specs.items())
        if python is not None:
            owners["python"] = (f"python {python}", found.file)
        return found._replace(specs=tuple(specs), python=python, left_out=(*found.left_out, *told))

    return [taken(found) for found in founds]


def _without_wheels(founds: Sequence[Found]) -> list[Found]:
    """Take a package that is among the Python packages from there alone: an environment cannot have both."""
    wheels: dict[str, str] = {}
    for found in founds:
        for name in (*(found.project.names if found.project else ()), *map(_distribution, found.requirements)):
            wheels.setdefault(name, found.file)
    source = next((each.file for each in founds if each.project or each.requirements), None)

    def taken(found: Found) -> Found:
        names = [_normalised(package_of_spec(spec.text) or "") for spec in found.specs]
        told = []
        for file in dict.fromkeys(wheels[name] for name in names if name in wheels):
            double = [name for name in names if wheels.get(name) == file]
            verb, plural = ("is", "") if len(double) == 1 else ("are", "s")
            told.append(
                f"{found.file}: {named(double)} of conda {verb} left out: {file} has the Python package{plural}"
            )
        specs = tuple(spec for spec, name in zip(found.specs, names, strict=True) if name not in wheels)
        if source is not None and "python" in names and len(specs) > 1:
            line = f"{found.file}: Python modules of its conda packages cannot be imported beside those of {source}"
            told.append(f"{line}: install such packages as pypi/NAME")
        return found._replace(specs=specs, left_out=(*found.left_out, *told))

    return [taken(found) for found in founds]


def _without_second_variables(founds: Sequence[Found]) -> list[Found]:
    """Take each variable from the first file that has it, and none that is a port of a service."""
    services = next((each.services for each in founds if each.services), {})
    owners: dict[str, tuple[str, str]] = {}
    if _with_port(services):
        owners["PORT"] = ("", "")

    def taken(found: Found) -> Found:
        told, kept = [], {}
        for name, value in found.variables.items():
            other, file = owners.setdefault(name, (value, found.file))
            if file == found.file:
                kept[name] = value
            elif name == "PORT" and not file:
                told.append(left_out(found.file, name, f"`{_with_port(services)[0]}` gets a free port, as $PORT"))
            elif other != value:
                told.append(left_out(found.file, name, f"{file} says `{other}`"))
        return found._replace(variables=kept, left_out=(*found.left_out, *told))

    return [taken(found) for found in founds]


def _one_port(founds: Sequence[Found]) -> list[Found]:
    """Tell which services would share `$PORT`, which is a port of the first of them."""

    def told(found: Found) -> Found:
        names = _with_port(found.services)
        lines = [
            f"{found.file}: `{name}` gets no port of its own: `$PORT` is that of `{names[0]}`" for name in names[1:]
        ]
        return found._replace(left_out=(*found.left_out, *lines))

    return [told(found) for found in founds]


def _with_port(services: Mapping[str, str]) -> list[str]:
    return [name for name, command in services.items() if _PORT.search(command)]


def _distribution(requirement: str) -> str:
    from packaging.requirements import Requirement

    return _normalised(Requirement(requirement).name)


def _normalised(name: str) -> str:
    try:
        return notations.package_name(name)
    except Refusal:
        return name


def _taken(found: Found) -> str:
    """Return the line that says what is taken of a file."""
    parts = []
    if found.python:
        parts.append(f"Python {found.python}")
    if found.specs:
        few = len(found.specs) <= _MOST_NAMED
        number = counted(len(found.specs), "conda package")
        parts.append(", ".join(spec.text for spec in found.specs) if few else number)
    if found.requirements:
        parts.append(counted(len(found.requirements), "Python package"))
    if found.systems:
        parts.append(f"the systems {', '.join(found.systems)}")
    if found.variables:
        parts.append(f"the {noun(len(found.variables), 'variable')} {named(list(found.variables))}")
    if found.services:
        parts.append(f"the {noun(len(found.services), 'service')} {named(list(found.services))}")
    also = f" (with {', '.join(found.included)})" if found.included else ""
    return f"{found.file}{also}: {', '.join(parts)}"


def _few(found: Found, most: int | None) -> list[str]:
    """Return the first lines about what is left out of a file, and how many more there are."""
    lines = list(dict.fromkeys(found.left_out))
    first, others = abridged(lines, len(lines) if most is None else most)
    return [*first, *([f"{found.file}: {others} more things are left out (-v shows them all)"] if others else [])]
