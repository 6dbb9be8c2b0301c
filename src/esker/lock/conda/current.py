"""Making the conda lock of a declaration: a current one is kept, and what a stale one has stays as far as it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.declare.conda_edit import CONDA
from esker.errors import InvalidLock
from esker.lock.conda.inputs import conda_inputs
from esker.lock.conda.lock_file import parse_text
from esker.lock.lock_files import check_replaceable, lock_paths, read_conda_lock
from esker.progress import reporting

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.lock.conda.lock_file import CondaLock
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["resolved_conda"]


def resolved_conda(
    declaration: Declaration, settings: Settings, *, upgrade: bool | frozenset[str] = False, progress: Progress
) -> CondaLock | None:
    """Return the current lock of the conda packages, and write nothing; None if the manifest declares none.

    With `upgrade`, all packages are free to take other versions, or those whose names are in it with `conda/` before.
    """
    try:
        present = read_conda_lock(declaration)
    except InvalidLock:
        if upgrade is not True:
            raise
        present = None
    inputs = conda_inputs(declaration, settings.system, present.packages if present else ())
    if inputs is None:
        return None
    locked = {each.name for each in present.all_packages()} if present else set()
    asked = upgrade if isinstance(upgrade, frozenset) else frozenset()
    chosen = frozenset(name for name in locked if upgrade is True or f"{CONDA}{name}" in asked)
    if present is not None and present.inputs == inputs.digest() and not chosen:
        return present
    check_replaceable(declaration)
    path = lock_paths(declaration)["conda"]
    from esker.lock.conda.resolve import resolve  # it loads asyncio

    for entry in declaration.esker.conda.dependencies if declaration.esker.conda else ():
        if not isinstance(entry, str) and entry.systems and not {*entry.systems} & {*inputs.systems}:
            named = ", ".join(entry.systems)
            progress.remark(
                f"`{entry.spec}` is for {named} alone, and `options.systems` has none of these: it is in no lock"
            )
    with reporting(progress):
        progress.begin("Locking conda packages")
        text = resolve(inputs, settings, declaration.project, previous=present, path=path, changed=chosen)
    # Through the text, so that what is used now is exactly what is read from the file ever after.
    return parse_text(text, path)
