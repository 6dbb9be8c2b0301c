"""A base as projects have them: Debian 12's shell, accounts, C library and Python 3.11, in an OCI layout of two layers.

    layout = ROOT.path() / "layout"          # its tag is `debian`

The second layer has Python. It also deletes a file of the first one, and a directory, as images of several steps do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import base_layout, debian
from tests.support.base_layout import write_layout
from tests.support.containers import layers as layers_module
from tests.support.containers.layers import Layer
from tests.support.debian import COPIES, FILES, Apt
from tests.support.roots import Root

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROOT", "digest", "manifest"]

_FIRST = ("base-files", "base-passwd", "bash", "coreutils", "dash", "libc6")
_NOT_KEPT = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian"))
_NOT_NEEDED = re.compile(r"gcc-.*|debconf|perl.*|media-types|libpython3-stdlib|openssl|ca-certificates|tzdata")


def _make(made: Path, scratch: Path) -> None:
    with Apt("bookworm") as apt:
        first_names = [each for each in apt.needed(*_FIRST) if not _NOT_NEEDED.fullmatch(each)]
        first = _layer(apt, first_names)
        for place, source in COPIES.items():
            first.write(place, first.read(source))
        for place, text in FILES.items():
            first.write(place, text)
        first.link("bin/sh", "dash")
        first.write("etc/removed", "removed by the second layer\n")
        first.write("opt/removed/file", "removed with its directory\n")
        names = [each for each in apt.needed("python3.11") if not _NOT_NEEDED.fullmatch(each)]
        second = _layer(apt, [each for each in names if each not in first_names])
        second.write("etc/.wh.removed", "")
        second.write("opt/.wh.removed", "")
    write_layout(made / "layout", [first.archive(), second.archive()])


def _layer(apt: Apt, names: Sequence[str]) -> Layer:
    layer = Layer()
    for archive in apt.archives(names):
        layer.add_archive(archive)
    for path in _NOT_KEPT:
        layer.remove(path)
    return layer


ROOT = Root(_make, (Path(__file__), Path(debian.__file__), Path(base_layout.__file__), Path(layers_module.__file__)))


def digest() -> str:
    """Return the digest of the base."""
    index = json.loads((ROOT.path() / "layout/index.json").read_text())
    return str(index["manifests"][0]["digest"])


def manifest() -> dict[str, Any]:
    """Return the manifest of the base."""
    path = ROOT.path() / f"layout/blobs/{digest().replace(':', '/')}"
    content: dict[str, Any] = json.loads(path.read_text())
    return content
