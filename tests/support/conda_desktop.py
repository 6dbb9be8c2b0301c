"""Conda packages of a desktop without a screen, made from Debian's: an X server, a window manager, and VNC.

Debian's X server looks for `xkbcomp` in /usr/bin, whatever its package says: an image needs a file there (`XKBCOMP`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import conda_debian, conda_package
from tests.support.conda_debian import Recipe, load, make, save, wrapper
from tests.support.conda_package import PLACEHOLDER, CondaPackage
from tests.support.roots import Root

if TYPE_CHECKING:
    from tests.support.conda_package import File, Link

__all__ = ["ROOT", "XKBCOMP", "desktop_packages"]

XKBCOMP = '#!/bin/sh\nexec xkbcomp "$@"\n'
"""What has to lie at /usr/bin/xkbcomp."""


def _finish_xvfb(members: dict[str, File | Link]) -> None:
    members["bin/Xvfb"] = wrapper("lib/xvfb/bin/Xvfb", {}, f" -xkbdir {PLACEHOLDER}/share/X11/xkb")


def _finish_openbox(members: dict[str, File | Link]) -> None:
    members["bin/openbox"] = wrapper("lib/openbox/bin/openbox", {"XDG_DATA_DIRS": "@/share"})


_RECIPES = {
    "xvfb": Recipe(("xvfb", "xkb-data", "x11-xkb-utils"), _finish_xvfb, {"bin/Xvfb": "lib/xvfb/bin/Xvfb"}),
    "openbox": Recipe(("openbox",), _finish_openbox, {"bin/openbox": "lib/openbox/bin/openbox"}),
    "x11vnc": Recipe(("x11vnc",)),
}


def desktop_packages() -> list[CondaPackage]:
    """Return the packages with all libraries that they need, from the cache if they are there."""
    return load(ROOT.path())


def _save_packages(made: Path, scratch: Path) -> None:
    save(make(scratch, _RECIPES), made)


ROOT = Root(_save_packages, (Path(__file__), Path(conda_debian.__file__), Path(conda_package.__file__)))
