"""Which Pythons an environment may run on, and for which of them its lock is made.

Two keys set limits, and a Python has to be within both: `version` in the manifest, and `requires-python` in the
pyproject.toml that the manifest names. A lock is for one minor version within the limits, unless the manifest says
`lock = "all"`. The lock has that version as its own `requires-python`, written `==3.12.*`. It stays until somebody asks
for another one or the limits exclude it; which interpreters a machine has does not change it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from esker.errors import NotFound, ResolutionFailed, UsageError
from esker.formats.conda.locked_package import python_minor
from esker.host.interpreters import NEWEST, OLDEST
from esker.lock.conda.lock_file import conda_lock_path
from esker.lock.pyproject import read_pyproject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.declaration import Declaration
    from esker.formats.pylock import Inputs, Pylock
    from esker.host.interpreters import Interpreter, Interpreters
    from esker.lock.conda.lock_file import CondaLock

__all__ = [
    "AllowedPythons",
    "Limit",
    "allowed_pythons",
    "allows",
    "check_chosen",
    "conda_python",
    "interpreter_for_new_lock",
    "interpreter_of_lock",
    "locked_pythons",
    "minors_within",
    "one_minor",
    "staleness_of_python",
]


class Limit(NamedTuple):
    """A limit on the version of Python, and the key and the file that set it."""

    specifier: str
    key: str
    path: str

    def __str__(self) -> str:
        return f'`{self.key} = "{self.specifier}"` in {self.path}'


class AllowedPythons(NamedTuple):
    """The Pythons that a declaration allows."""

    limits: tuple[Limit, ...] = ()
    every: bool = False
    """Whether the lock is for every allowed Python, and not for one minor version."""

    @property
    def specifier(self) -> str:
        """All limits as one PEP 440 specifier; empty if there are none."""
        return ",".join(dict.fromkeys(limit.specifier for limit in self.limits))

    @property
    def versions(self) -> SpecifierSet:
        """The versions that are allowed."""
        return _versions(self.specifier)

    def places(self) -> str:
        """Return the limits as a message names them."""
        return " and ".join(map(str, self.limits))


def allowed_pythons(declaration: Declaration, conda: CondaLock | None = None) -> AllowedPythons:
    """Return the Pythons that `declaration` allows; if the conda lock has a Python, that one alone.

    Raises ResolutionFailed, which names the places, if its limits exclude every Python.
    """
    python, project = declaration.esker.python, read_pyproject(declaration)
    limits = []
    if python is not None and python.range is not None:
        limits.append(Limit(python.range, "version", f"{declaration.dot_flox}/env/manifest.toml"))
    if project is not None and project.requires_python is not None:
        limits.append(Limit(project.requires_python, "requires-python", project.path))
    if python is not None and conda is not None and (minor := conda_python(conda)) is not None:
        limits.append(Limit(one_minor(minor), "python", conda_lock_path(declaration.dot_flox)))
    allowed = AllowedPythons(tuple(limits), every=python is not None and python.locks_every_python)
    if allowed.versions.is_unsatisfiable():
        both = " all" if limits[2:] else " both" if limits[1:] else ""
        raise ResolutionFailed(
            f"no Python satisfies{both} {allowed.places()}", hint="widen one of them" if both else "widen it"
        )
    return allowed


def conda_python(conda: CondaLock) -> str | None:
    """Return the minor version of the Python that conda's packages bring, such as `3.12`; None if they bring none.

    Raises ResolutionFailed if it is not the same on all systems: the lock of the wheels is for one.
    """
    found = {system: minor for system in sorted(conda.packages) if (minor := python_minor(conda.packages[system]))}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{minor} on {system}" for system, minor in found.items())
        raise ResolutionFailed(
            f"conda's packages bring Python {listed}, and the lock of the wheels is for one",
            hint='name one for all systems in `dependencies` of [plugins.esker.conda], such as "python 3.12.*"',
        )
    return next(iter(found.values()), None)


def allows(specifier: str, minor: str) -> bool:
    """Return whether a specifier allows any release of a minor version, such as `3.12`."""
    return not _versions(specifier).is_disjoint(SpecifierSet(one_minor(minor)))


def one_minor(minor: str) -> str:
    """Return the specifier of all releases of a minor version.

    >>> one_minor("3.12")
    '==3.12.*'
    """
    return f"=={minor}.*"


def minors_within(specifier: str) -> tuple[str, ...]:
    """Return the minor versions that a specifier allows; empty if it has no end among the versions that we know.

    >>> minors_within(">=3.11,<3.14,!=3.12.*")
    ('3.11', '3.13')
    """
    major, last = NEWEST
    if not _versions(specifier).is_disjoint(SpecifierSet(f">={major}.{last + 1}")):
        return ()
    minors = (f"{major}.{number}" for number in range(last + 1))
    return tuple(minor for minor in minors if allows(specifier, minor))


def locked_pythons(lock: Pylock) -> str:
    """Return the Pythons that a lock is for as people read them: a minor version, a specifier, or `any`."""
    return _locked_minor(lock) or str(lock.requires_python or "") or "any"


def _versions(specifier: SpecifierSet | str | None) -> SpecifierSet:
    """Return the versions of a specifier, without the `===` of an older lock, which no comparison of sets accepts."""
    return SpecifierSet(str(specifier or "").replace("===", "=="))


def _locked_minor(lock: Pylock) -> str | None:
    match = re.fullmatch(r"==(\d+\.\d+)\.\*", str(lock.requires_python or ""))
    return match[1] if match else None


def staleness_of_python(lock: Pylock, made_from: Inputs, allowed: AllowedPythons) -> Iterator[str]:
    """Yield the reasons why a lock, made from the inputs `made_from`, does not fit the Pythons that are allowed now."""
    covered, resolved = _versions(lock.requires_python), _versions(made_from.python)
    if allowed.versions.is_disjoint(covered):
        excluding = [limit for limit in allowed.limits if _versions(limit.specifier).is_disjoint(covered)]
        named = allowed._replace(limits=tuple(excluding) or allowed.limits)
        verb = "excludes" if len(named.limits) == 1 else "exclude"
        yield f"pylock.toml: locked for Python {locked_pythons(lock)}, which {named.places()} {verb}"
    elif not (allowed.versions & _final_releases(covered, lock)).is_subset(resolved):  # as after `>=3.12.4` to `>=3.12`
        yield f"pylock.toml: python is `{allowed.specifier or 'any'}`, locked for `{made_from.python or 'any'}`"
    elif allowed.every and not allowed.versions.is_subset(covered):
        yield f'pylock.toml: locked for Python {locked_pythons(lock)} alone, but `lock = "all"` is declared'


def _final_releases(covered: SpecifierSet, lock: Pylock) -> SpecifierSet:
    """Return `covered` without the pre-releases of its minor version, which `==3.11.*` allows and `>=3.11` does not."""
    minor = _locked_minor(lock)
    return covered & SpecifierSet(f">={minor}") if minor else covered


def interpreter_for_new_lock(
    allowed: AllowedPythons, lock: Pylock | None, interpreters: Interpreters, *, chosen: str | None = None
) -> Interpreter:
    """Return the interpreter with which a new lock is made, and for whose minor version the lock is.

    The `chosen` minor version, such as `3.12`, comes first, then the version of the present `lock` if it is still
    allowed, then the first allowed interpreter of this machine. Raises NotFound if this machine has none.
    """
    if chosen is not None:
        return _first(allowed, one_minor(chosen), interpreters, f"Python {chosen} is not on this machine", chosen=True)
    minor = None if lock is None or allowed.every else _locked_minor(lock)
    if lock is None or minor is None or not allows(allowed.specifier, minor):
        unmet = f"satisfies `{allowed.specifier}`" if allowed.limits else "can be used"
        return _first(allowed, "", interpreters, f"no Python on this machine {unmet}")
    return interpreter_of_lock(allowed, lock, interpreters)


def interpreter_of_lock(allowed: AllowedPythons, lock: Pylock, interpreters: Interpreters) -> Interpreter:
    """Return the interpreter that `lock` is installed for; raises NotFound if this machine has none."""
    versions = locked_pythons(lock)
    if _locked_minor(lock) is not None and not allowed.versions.is_superset(_versions(lock.requires_python)):
        versions += f" (`{allowed.specifier}`)"
    message = f"the environment is locked for Python {versions}, which this machine does not have"
    return _first(allowed, str(lock.requires_python or ""), interpreters, message, locked=True)


def check_chosen(chosen: str, declaration: Declaration) -> None:
    """Raise an EskerError if `declaration` cannot be locked for the minor version `chosen` of Python."""
    allowed = allowed_pythons(declaration)
    if declaration.esker.python is None:
        hint = "esker install pypi/NAME declares it, with a package"
        raise UsageError("a Python cannot be chosen: the manifest declares none", hint=hint)
    if not re.fullmatch(r"\d+\.\d+", chosen):
        raise UsageError(f"`{chosen}` is not a minor version of Python", hint="write it as in 3.12")
    if tuple(map(int, chosen.split("."))) < OLDEST:
        raise UsageError(
            f"Esker cannot make an environment of Python {chosen}", hint="name {}.{} or a later one".format(*OLDEST)
        )
    if allowed.every:
        raise UsageError(
            'one Python cannot be chosen: the manifest says `lock = "all"`', hint="take that out of `version` first"
        )
    if not allows(allowed.specifier, chosen):
        raise ResolutionFailed(f"Python {chosen} is excluded by {allowed.places()}", hint="widen that first")


def _first(
    allowed: AllowedPythons,
    within: str,
    interpreters: Interpreters,
    message: str,
    *,
    locked: bool = False,
    chosen: bool = False,
) -> Interpreter:
    """Return the first allowed interpreter `within` a specifier, which is fetched if it has to be and may be.

    Raises NotFound with `message` if there is none.
    """
    specifier = ",".join(filter(None, (within, allowed.specifier)))
    minor = re.fullmatch(r"==(.+)\.\*", within)
    wanted = f"Python {minor[1]}" if minor else f"a Python (`{specifier}`)" if specifier else "a Python"
    interpreter, unfetched = interpreters.obtained(specifier, wanted)
    if interpreter is not None:
        return interpreter
    if unfetched is not None:
        message += f", and {unfetched}"
    hint = f"install it, then put it on PATH as python{minor[1] if minor else 'X.Y'} or set ESKER_PYTHON to its path"
    if interpreters.remedy:
        hint += f"; {interpreters.remedy}"
    other = interpreters.first(allowed.specifier) if locked and not allowed.every else None
    if other is not None:
        hint += "; or lock for a Python that is here: esker lock --python {}.{}".format(*other.release)
    elif allowed.limits and not chosen:
        hint += f"; or change {allowed.places()}"
    raise NotFound(f"{message}; found: {interpreters.listed()}", hint=hint)
