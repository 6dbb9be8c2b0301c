"""Versions that uv takes where it can: a uv.lock that holds nothing else.

uv keeps what its lock file says as long as the requirements allow it, and moves what they do not allow. A constraint
cannot say that: it either holds or makes the whole resolution fail. Of each package such a file has the name, the
version and an index, which uv does not ask (seen with uv 0.13.9); uv ignores a file that it cannot read.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["preferences"]

_OPTIONS = {"fork-strategy": "fork-strategy", "prerelease": "prerelease-mode", "resolution": "resolution-mode"}
"""Keys of `[tool.uv]`, and what uv.lock calls them; uv ignores a lock file that was made with others."""


def preferences(pins: Iterable[str], requires_python: str, settings: Mapping[str, Any]) -> str:
    """Return a uv.lock that prefers the versions of `pins`, such as `app==1.0 ; sys_platform == 'linux'`.

    `settings` are the keys of `[tool.uv]` that the resolution is made with.
    """
    requirements = [Requirement(pin) for pin in pins]
    count = Counter(requirement.name for requirement in requirements)
    lines = ["version = 1", f"requires-python = {json.dumps(requires_python)}", "[options]"]
    lines += [f"{theirs} = {json.dumps(settings[key])}" for key, theirs in _OPTIONS.items() if key in settings]
    for requirement in requirements:
        version = next(iter(requirement.specifier)).version
        lines += ["[[package]]", f"name = {json.dumps(requirement.name)}", f"version = {json.dumps(version)}"]
        lines.append('source = { registry = "https://index.invalid/simple" }')
        if count[requirement.name] > 1:
            lines.append(f"resolution-markers = [{json.dumps(str(requirement.marker or ''))}]")
    return "\n".join([*lines, ""])
