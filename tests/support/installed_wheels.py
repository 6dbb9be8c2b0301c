"""Wheels of the distributions that this Python has installed, packed again: real packages without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.package_index import PackageIndex

__all__ = ["PYTEST", "WITH_XDIST", "serve"]

PYTEST = ("pytest", "iniconfig", "packaging", "pluggy", "pygments")
"""pytest and what it needs."""
WITH_XDIST = (*PYTEST, "pytest-xdist", "execnet")
"""pytest-xdist and what it needs."""
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def serve(index: PackageIndex, *names: str) -> None:
    """Let an index serve the installed distributions `names`, as pure wheels."""
    for name in names:
        installed = distribution(name)
        file = f"{name.replace('-', '_')}-{installed.version}-py3-none-any.whl"
        index.put(name, file, _wheel(name))


def _wheel(name: str) -> bytes:
    installed = distribution(name)
    members = {}
    info = ""
    for path in installed.files or ():
        if path.parts[0] == ".." or "__pycache__" in path.parts:
            continue
        if path.parts[0].endswith(".dist-info"):
            info = path.parts[0]
            if path.name in _LEFT_OUT:
                continue
        members[str(path)] = Path(str(installed.locate_file(path))).read_bytes()
    lines = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in members.items()]
    members[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), content)
    return packed.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
