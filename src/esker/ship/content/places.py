"""Where things lie in an image. The places are constant, so an unchanged package gives the same bytes everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CACHE", "CONDA", "ENVIRONMENT", "INTERPRETER", "PYTHON", "RUNTIME", "above", "between"]

CONDA = "/opt/esker/conda"
"""The prefix of the conda packages."""
PYTHON = "/opt/esker/python"
"""The Python environment of the wheels."""
INTERPRETER = "/opt/esker/interpreter"
"""An interpreter that uv knows, unless one comes from elsewhere."""
ENVIRONMENT = "/opt/esker/env"
"""`FLOX_ENV`: links that join the two."""
CACHE = "/var/cache/esker"
"""`FLOX_ENV_CACHE`."""
RUNTIME = "/run/esker"
"""`ESKER_RUNTIME_DIR`."""


def above(path: str) -> Iterator[str]:
    """Yield the directories above an absolute path, the nearest first, without the root.

    >>> list(above("/opt/esker/conda"))
    ['/opt/esker', '/opt']
    """
    while (path := path.rpartition("/")[0]) != "":
        yield path


def between(place: str, target: str) -> str:
    """Return the relative link at `place` that leads to `target`, both absolute paths in the image.

    >>> between("/opt/esker/env/bin/jq", "/opt/esker/conda/bin/jq")
    '../../conda/bin/jq'
    """
    import posixpath

    return posixpath.relpath(target, posixpath.dirname(place))
