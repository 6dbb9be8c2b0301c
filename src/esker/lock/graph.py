"""What needs what in a locked environment: from what is declared to each package.

The requirements between Python packages, with their versions and markers, stand in the metadata of the installed
packages. The lock has only the edges. It serves for a package that is not installed here, or not in the version that is
locked.

A package of a conda channel has the name that `install` takes, `conda/NAME`. Its requirements are specs, and the lock
has them all.
"""

from __future__ import annotations

import glob
import re
from collections import deque
from importlib.metadata import distributions
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.declare.conda_edit import CONDA
from esker.formats.conda.specs import package_of_spec
from esker.formats.systems import markers
from esker.lock.listing import listing
from esker.lock.pyproject import read_pyproject
from esker.lock.pythons import locked_pythons

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.formats.pylock import Pylock
    from esker.lock.conda.lock_file import CondaLock
    from esker.lock.lock_files import Lock

__all__ = ["Graph", "Need", "chains", "graph", "installed_graph"]

_MOST_CHAINS = 1000
_MANIFEST = "manifest.toml"


class Need(NamedTuple):
    """A requirement, and what has it."""

    source: str
    """The normalised name of a package, with `conda/` for one of a channel; of what is declared, its place."""
    requirement: str
    """The requirement without its marker; the name alone if no more is known."""
    target: str
    """The normalised name of the package that is needed."""
    is_declared: bool = False


class Graph(NamedTuple):
    """The packages that a lock installs on one system."""

    versions: Mapping[str, str]
    declared: Sequence[Need]
    """In the order of the files."""
    needs: Mapping[str, Sequence[Need]]
    """What each package needs, by its name."""
    elsewhere: Mapping[str, str]
    """The packages that are locked for other systems, or other Pythons, alone: their markers, or a conda system."""
    project: str | None = None
    """The normalised name of the project itself, if its pyproject.toml gives it one."""

    def all_needs(self) -> list[Need]:
        """Return every requirement: what is declared, then what the packages need."""
        return [*self.declared, *(need for needs in self.needs.values() for need in needs)]


_NOTHING = Graph({}, (), {}, {})


def installed_graph(declaration: Declaration, lock: Lock, system: str, links: Iterable[str]) -> Graph:
    """Return the graph of `lock` on `system`, with the metadata of what is installed behind the run `links`."""
    sites = [site for link in links for site in glob.glob(f"{glob.escape(link)}/lib/python3*/site-packages")]
    return graph(declaration, lock, system, sites)


def graph(declaration: Declaration, lock: Lock, system: str, sites: Iterable[str]) -> Graph:
    """Return the graph of `lock` on `system`; `sites` are the site-packages directories where it may be installed."""
    python = _python(declaration, lock, lock.python, system, sites) if lock.python is not None else _NOTHING
    conda = _conda(declaration, lock.conda, system) if lock.conda is not None else _NOTHING
    return Graph(
        {**python.versions, **conda.versions},
        [*python.declared, *conda.declared],
        {**python.needs, **conda.needs},
        {**python.elsewhere, **conda.elsewhere},
        python.project,
    )


def _conda(declaration: Declaration, lock: CondaLock, system: str) -> Graph:
    """Return the graph of the packages of conda channels; what is assumed of a machine is no package."""
    packages = lock.packages.get(system, ())
    versions = {f"{CONDA}{each.name}": each.version for each in packages}

    def needs(source: str, specs: Iterable[str]) -> list[Need]:
        named = [(spec, f"{CONDA}{package_of_spec(spec)}") for spec in specs]
        return [Need(source, spec, target, source == _MANIFEST) for spec, target in named if target in versions]

    table = declaration.esker.conda
    return Graph(
        versions,
        needs(_MANIFEST, table.specs_for(system) if table is not None else ()),
        {f"{CONDA}{each.name}": sorted(needs(f"{CONDA}{each.name}", each.depends)) for each in packages},
        {
            f"{CONDA}{each.name}": other
            for other, others in lock.packages.items()
            for each in others
            if f"{CONDA}{each.name}" not in versions
        },
    )


def _python(declaration: Declaration, lock: Lock, locked: Pylock, system: str, sites: Iterable[str]) -> Graph:
    """Return the graph of the Python packages."""
    versions = {each.name: str(each.version) for each in listing(lock, system) if each.origin == "pypi"}
    direct = frozenset(str(each.name) for each in locked.packages if each.is_direct)
    metadata = _metadata(sites, versions, direct)
    edges = {str(each.name): [str(edge["name"]) for edge in each.dependencies or ()] for each in locked.packages}
    environment = markers(system)
    if re.fullmatch(r"\d+\.\d+", minor := locked_pythons(locked)):
        environment |= {"python_version": minor, "python_full_version": f"{minor}.0"}
    declared: list[Need] = []
    waiting = deque[tuple[str, str]]()
    for text, where in _declared(declaration):
        for requirement in _applying([text], environment, ""):
            target = canonicalize_name(requirement.name)
            declared.append(Need(where, _without_marker(requirement), target, is_declared=True))
            waiting.extend((target, extra) for extra in ("", *requirement.extras))
    needs: dict[str, dict[str, Need]] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.popleft()
        if (name, extra) in seen or name not in versions:
            continue
        seen.add((name, extra))
        own = needs.setdefault(name, {})
        for requirement in _applying(metadata.get(name, edges.get(name, [])), environment, extra):
            target = canonicalize_name(requirement.name)
            if target in versions and target != name:
                own.setdefault(target, Need(name, _without_marker(requirement), target))
            waiting.extend((target, each) for each in ("", *requirement.extras))
    elsewhere = {str(each.name): str(each.marker) for each in locked.packages if each.name not in versions}
    project = read_pyproject(declaration)
    own_name = canonicalize_name(project.name) if project is not None and project.name else None
    return Graph(versions, declared, {name: sorted(own.values()) for name, own in needs.items()}, elsewhere, own_name)


def chains(known: Graph, name: str) -> Iterator[tuple[Need, ...]]:
    """Yield the chains of requirements that lead from what is declared to a package, the shortest first.

    No chain goes through a package twice. A graph may have very many chains; no more than a thousand are given.
    """
    needing: dict[str, list[Need]] = {}
    for need in known.all_needs():
        needing.setdefault(need.target, []).append(need)

    def upwards() -> Iterator[tuple[Need, ...]]:
        waiting = deque[tuple[Need, ...]]((need,) for need in needing.get(name, ()))
        while waiting:
            chain = waiting.popleft()
            if chain[0].is_declared:
                yield chain
                continue
            passed = {need.target for need in chain}
            waiting.extend((need, *chain) for need in needing.get(chain[0].source, ()) if need.source not in passed)

    return islice(upwards(), _MOST_CHAINS)


def _declared(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Yield each declared requirement with the place that messages show."""
    python, project = declaration.esker.python, read_pyproject(declaration)
    if python is not None and project is not None:
        for text, place in project.declared(python.groups, python.extras):
            yield text, place.file_and_name()
    for text in python.dependencies if python is not None else ():
        yield text, _MANIFEST


def _metadata(sites: Iterable[str], versions: Mapping[str, str], direct: frozenset[str]) -> dict[str, list[str]]:
    """Return the requirements of each installed package, if it has the version that is locked.

    The lock does not have the versions of those that do not come from an index, the `direct` ones.
    """
    found = {}
    for distribution in distributions(path=list(sites)):
        values: Any = distribution.metadata  # None in a damaged one
        name = canonicalize_name(values["Name"] or "") if values is not None else ""
        if name in versions and (name in direct or versions[name] == distribution.version):
            found[name] = list(distribution.requires or ())
    return found


def _applying(texts: Iterable[str], environment: Mapping[str, str], extra: str) -> Iterator[Requirement]:
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # a wheel's own mistake, which its installation did not mind
            continue
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
            yield requirement


def _without_marker(requirement: Requirement) -> str:
    bare = Requirement(str(requirement))
    bare.marker = None
    return str(bare)
