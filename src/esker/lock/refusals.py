"""What uv says while it locks, in words that speak of systems and Pythons instead of markers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from esker.errors import CommandFailed, HostError, ResolutionFailed
from esker.formats.systems import marker
from esker.host.uv import is_unreachable
from esker.lock.pythons import allows, one_minor

if TYPE_CHECKING:
    from esker.formats import pylock

__all__ = ["Resolution", "explained"]


class Resolution(Protocol):
    """A resolution that has failed, and that can be tried in other ways."""

    @property
    def minor(self) -> str:
        """The minor version of Python that the lock was to be for."""

    @property
    def every_python(self) -> bool:
        """Whether it was to be for every Python of a range instead."""

    def fitting_python(self) -> str | None:
        """Return a single minor version of Python for which there is a lock, or None if none is found."""

    def newest(self, name: str) -> str | None:
        """Return the newest version of a package for the same systems and Python, or None if there is none."""


_HEAD = re.compile(r"^(error|\s*cause): ", re.MULTILINE)
_SPLIT = re.compile(r" for split \(markers: (?P<marker>[^)]*)\)")
_WITHOUT_WHEEL = re.compile(r"has no `[^`]*`-compatible wheels|no usable wheels|no wheels with a matching")
_REQUIRED_PYTHON = re.compile(r"requested Python version|(?:requires|depends\s+on)\s+Python\b")
_PYTHON_CLAUSE = re.compile(r"python_(?:full_)?version ([<>=!~]+) '([^']+)'")
_NO_SUCH_VERSION = re.compile(
    r"(?:there is no version of (?P<absent>\S+)|only (?P<present>\S+) is available) and your project depends on \S+,"
    r" we can conclude that your project's requirements are unsatisfiable".replace(" ", r"\s+")
)
_UNKNOWN = re.compile(r"(?P<name>\S+) was not found in the package registry")
_DAMAGED = re.compile(r"(?:was invalid|could not be parsed):\n\s*(?P<reason>.+)")
_REASON = re.compile(r"\b[Bb]ecause (?:we know from \(\d+\) that )?(.*?),? we can conclude")


def explained(
    failure: CommandFailed, inputs: pylock.Inputs, resolution: Resolution | None = None
) -> HostError | ResolutionFailed:
    """Return the error that says why `inputs` could not be locked.

    Further attempts of the `resolution` take a while, so each is made only where it may show a way out. Without it, the
    error does not name such a way.
    """
    output = failure.output
    if is_unreachable(failure):
        return HostError("the packages could not be locked: no package index answered", hint=failure.hint)
    cause = _cause(output, inputs)
    if failure.hint:  # of the machine, which is at fault then, not what was declared
        return HostError(f"the packages could not be locked: {cause}", hint=failure.hint)
    unknown = _UNKNOWN.search(output)
    if unknown:
        name = canonicalize_name(unknown["name"])
        direct = name in {canonicalize_name(Requirement(text).name) for text in inputs.requirements}
        return ResolutionFailed(
            f"the package index has no package `{name}`" + ("" if direct else f": {cause}"),
            hint="check its spelling, or name the index that has it in UV_INDEX",
        )
    damaged = _DAMAGED.search(output)
    if damaged:
        return ResolutionFailed(
            f"an index gave a damaged package: {cause}: {damaged['reason']}", hint="ask for another version of it"
        )
    absent = _NO_SUCH_VERSION.search(output)
    if absent:
        package = Requirement(absent["absent"] or absent["present"]).name
        newest = resolution.newest(package) if resolution else None
        hint = f"ask for one that there is{f', such as {package}=={newest}' if newest else ''}"
        return ResolutionFailed(f"no versions satisfy the requirements: {cause}", hint=hint)
    wheel_is_missing = _WITHOUT_WHEEL.search(output)
    place = _place(output, inputs)
    refused = "a package has no wheel" if wheel_is_missing else "no versions satisfy the requirements"
    python, advice = "", None
    if resolution is not None and (wheel_is_missing or _REQUIRED_PYTHON.search(output)):
        fitting = resolution.fitting_python()
        python, advice = _python(output, inputs, resolution, fitting)
        if fitting is not None and not resolution.every_python:
            place = ""  # with that Python, every system has what it needs
    if advice is None:
        advice = "loosen one of them"
        if wheel_is_missing:
            advice = (
                "ask for a version that has one, or declare fewer systems in `options.systems`; the manifest "
                "reference says how source distributions of authors whom you trust are built"
            )
    return ResolutionFailed(f"{refused}{python}{place}: {cause}", hint=advice)


def _python(output: str, inputs: pylock.Inputs, resolution: Resolution, fitting: str | None) -> tuple[str, str | None]:
    """Return the Python that is a cause, as a part of a sentence, and what to do about it.

    They are empty and None if no Python is a cause. `fitting` is a Python for which there is a lock.
    """
    if fitting is None and not _REQUIRED_PYTHON.search(output):
        return "", None
    if resolution.every_python:
        split = _SPLIT.search(output)
        clauses = _PYTHON_CLAUSE.findall(split["marker"]) if split else []
        versions = ",".join(dict.fromkeys(f"{operator}{version}" for operator, version in clauses))
        versions = re.sub(r"^==(\d+\.\d+)\.\*$", r"\1", versions)
        advice = 'narrow the `range` of `version`, or leave out `lock = "all"`: a lock is for one Python then'
        return f" for Python {versions}" if versions else " for every Python of the range", advice
    advice = "ask for older versions, or lock for another Python: esker lock --python X.Y"
    if fitting is not None and allows(inputs.python, fitting):
        advice = f"there are versions for Python {fitting}: write "
        advice += f'version = "{one_minor(fitting)}" into [plugins.esker.python], or run esker lock --python {fitting}'
    elif fitting is not None:
        advice = f"there are versions for Python {fitting}, which `{inputs.python}` excludes: widen that range"
    return f" for Python {resolution.minor}", advice


def _place(output: str, inputs: pylock.Inputs) -> str:
    split = _SPLIT.search(output)
    systems = [system for system in inputs.systems if split and _same_marker(split["marker"], system)]
    return f" on `{systems[0]}`" if systems else ""


def _cause(output: str, inputs: pylock.Inputs) -> str:
    """Return the reasons that uv gives, without its conclusions; its markers are replaced by the names of systems."""
    error = output.partition("error: ")[2] or output  # before it, uv says how far it came
    text = " ".join(_HEAD.sub("", error.partition("hint:")[0]).split())
    reason = "; ".join(_REASON.findall(text)) or text
    for system in inputs.systems:
        for form in _marker_forms(system):
            reason = reason.replace(form, system)
    return reason


def _marker_forms(system: str) -> tuple[str, str]:
    platform, _, machine = marker(system).partition(" and ")
    return f"{machine} and {platform}", f"{platform} and {machine}"


def _same_marker(text: str, system: str) -> bool:
    return any(form in text for form in _marker_forms(system))
