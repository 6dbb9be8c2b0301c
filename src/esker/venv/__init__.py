"""Virtual environments for Python programs: made and filled by uv, active in this very process, and undone exactly.

>>> from esker.venv import VirtualEnv, venv_required
>>> with VirtualEnv(".venv", requirements="requirements.txt"):  # doctest: +SKIP
...     subprocess.run(["pytest"])

The uv is the one that is installed with Esker: nothing is fetched to get it.
"""

from __future__ import annotations

from esker.venv.environment import VirtualEnv, venv_required

__all__ = ["VirtualEnv", "venv_required"]
