"""Environments without a project of anybody's: `esker exec` makes one for a set of packages, and keeps it for later.

Each is a project like any other, in a directory that is named after its packages. The time of the directory says when
it was last used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.declare.conda_edit import CONDA
from esker.declare.edit import with_requirements
from esker.declare.known_environments import one_off_directory
from esker.declare.template import create
from esker.declare.toml_edit import with_keys
from esker.errors import AlreadyExists
from esker.host import files, trees
from esker.runtimes.native.project_lock import alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.settings import Settings

__all__ = ["discard_unused", "one_off"]

_KEPT = 30 * 24 * 3600
"""Seconds after its last use that an environment is kept."""


def one_off(packages: Sequence[str], settings: Settings) -> str:
    """Return the project directory of the environment that has these packages; it is made if it is missing.

    They are PEP 508 requirements or, with `conda/` before them, specs. Raises UsageError for what is neither. Nothing
    is locked or installed here.
    """
    asked = sorted(dict.fromkeys(packages))
    text = with_keys('schema-version = "1.14.0"\n', ("options",), {"systems": [settings.system]})
    specs = [each.removeprefix(CONDA) for each in asked if each.startswith(CONDA)]
    manifest = with_requirements(text, [each for each in asked if not each.startswith(CONDA)], specs=specs).text
    digest = hashlib.sha256(json.dumps([settings.system, asked]).encode()).hexdigest()[:16]
    project = f"{one_off_directory(settings)}/{digest}"
    if not os.path.isdir(f"{project}/.flox"):
        files.make_directory(project)
        name = re.sub(r"[^A-Za-z0-9._-].*", "", asked[0].removeprefix(CONDA)) or "packages"
        with suppress(AlreadyExists):  # made by another process at this moment
            create(project, name, text=manifest)
    with files.refused("use", project):
        os.utime(project)
    return project


def discard_unused(settings: Settings) -> int:
    """Remove the environments that were not used for a month, and return their number."""
    directory = one_off_directory(settings)
    if not os.path.isdir(directory):
        return 0
    unused = []
    with files.refused("tidy up", directory), os.scandir(directory) as entries:
        unused += [each.path for each in entries if time.time() - each.stat().st_mtime > _KEPT]
    for project in unused:
        with alone(project), files.refused("remove", project):
            trees.remove_tree(project)
    return len(unused)
