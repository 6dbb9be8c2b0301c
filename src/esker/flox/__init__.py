"""The Flox integration for Python: environments and services, by Flox itself or without it.

>>> from esker.flox import Flox, flox_required
>>> with Flox(".", services=["postgres"]):  # doctest: +SKIP
...     subprocess.run(["pytest"])

The `engine` says what gives the environment: `flox` is the command of that name, `native` is Esker itself, and `auto`
takes Flox where it is on PATH. `ESKER_ENGINE` decides for every `auto`.
"""

from __future__ import annotations

from esker.flox.environment import Flox, Result, flox_required
from esker.flox.services import FloxServiceHandle, FloxServices
from esker.formats.service_handle import ServiceInfo

__all__ = ["Flox", "FloxServiceHandle", "FloxServices", "Result", "ServiceInfo", "flox_required"]
