"""Python packages from conda channels beside an environment's own wheels, which cannot import them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from esker.errors import ResolutionFailed

if TYPE_CHECKING:
    from packaging.pylock import Pylock

    from esker.lock.conda.lock_file import CondaLock
    from esker.progress import Progress

__all__ = ["check_beside"]

_USUAL = {"python", "python_abi", "pip", "setuptools", "wheel"}
"""What comes with a Python of conda's, and nobody imports in an environment of wheels."""


def check_beside(conda: CondaLock, python: Pylock, progress: Progress) -> None:
    """Remark on Python packages that the conda lock has, since the environment's Python cannot import them.

    Raises ResolutionFailed if one of them is locked as a wheel too.
    """
    names = sorted({each.name for each in conda.all_packages() if each.is_for_python} - _USUAL)
    wheels = {str(each.name) for each in python.packages}
    both = [name for name in names if canonicalize_name(name) in wheels]
    if both:
        raise ResolutionFailed(
            f"`{both[0]}` is asked of a conda channel and as a wheel, and Python would see one of them",
            hint=f"keep one: esker uninstall conda/{both[0]}, or esker uninstall pypi/{both[0]}",
        )
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        progress.remark(
            f"{listed} from conda cannot be imported beside [plugins.esker.python], whose packages are wheels, and "
            "the commands that need it are not there: take the wheels, or take that table out"
        )
