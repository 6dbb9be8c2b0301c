"""Why a package that nobody has declared is in an environment: what to say to a person who wants to remove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from esker.declare.conda_edit import CONDA
from esker.declare.edit import ORIGIN
from esker.errors import EskerError
from esker.lock.graph import graph
from esker.lock.resolve import readable_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.declare.declaration import Declaration

__all__ = ["needed"]


def needed(declaration: Declaration, names: Sequence[str], system: str) -> str | None:
    """Return a hint for the first of `names` that is locked because other packages need it; None if there is none.

    A name may begin with the origin of the package.
    """
    try:
        lock = readable_lock(declaration)
        known = graph(declaration, lock, system, ()) if lock is not None else None
    except EskerError:  # the error about the names themselves is the one to tell
        return None
    if known is None:
        return None
    declared = {need.target for need in known.declared}
    for name in names:
        plain = canonicalize_name(name.removeprefix(CONDA).removeprefix(ORIGIN))
        of_conda, of_pypi = name.startswith(CONDA), name.startswith(ORIGIN)
        for package in (*([] if of_conda else [str(plain)]), *([] if of_pypi else [f"{CONDA}{plain}"])):
            sources = sorted({need.source for need in known.all_needs() if need.target == package})
            if package in known.versions and package not in declared and sources:
                named = " and ".join(f"`{source}`" for source in sources)
                verb = "needs" if len(sources) == 1 else "need"
                return f"`{package}` is here because {named} {verb} it; how it comes in: esker why {package}"
    return None
