"""How conda channels are reached: rattler's own configuration, one HTTP client for everything, and the gateway.

Mirrors, proxies, certificates and the file of credentials come from the files that all tools built on rattler read,
from those of Esker's own name, and from pixi's. Every request goes through the one client, so that none passes a mirror
by.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from esker.errors import HostError
from esker.formats.urls import redact
from esker.host.rattler import require_rattler, settled_at_exit

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rattler.config import Config
    from rattler.networking import Client

    from esker.settings import Settings

__all__ = ["Network", "await_result", "network"]

T = TypeVar("T")


class Network(NamedTuple):
    """What requests to channels are made with."""

    config: Config
    client: Client
    repodata: str
    """The directory that keeps the lists of packages of channels between calls."""


def network(settings: Settings) -> Network:
    """Return how this user reaches channels; raises HostError if a configuration file is wrong."""
    require_rattler()
    from rattler.config import Config
    from rattler.exceptions import ConfigError
    from rattler.networking import Client

    pixi = os.path.join(settings.home, ".pixi", "config.toml")
    locations = [(pixi, False), *((str(path), shared) for path, shared in Config.config_search_paths("esker"))]
    found = [(path, shared) for path, shared in locations if os.path.exists(path)]
    try:
        config = Config.load_from_locations([*found])
    except (ConfigError, ValueError) as error:
        raise HostError(
            f"the configuration of conda channels cannot be read: {redact(str(error))}",
            hint=f"correct it; the files are: {', '.join(path for path, _ in found)}",
        ) from error
    return Network(config, Client.from_config(config), f"{settings.store_root}/conda/repodata")


def await_result(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of asynchronous work, also where a caller's event loop is running."""
    import asyncio
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a channel says beside its packages is no fault of the project
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            try:
                return asyncio.run(work)
            finally:
                settled_at_exit()
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            try:
                return pool.submit(asyncio.run, work).result()
            finally:
                settled_at_exit()
