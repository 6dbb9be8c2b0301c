"""What `conda` and `solve` compare with: rattler called by hand, as a program of its own.

python -m bench.rattler_install install LOCK PREFIX CACHE
python -m bench.rattler_install solve CHANNEL CACHE LOCK SPEC…
"""

from __future__ import annotations

import asyncio
import os
import sys

from rattler import LockFile, install, solve
from rattler.networking import Client
from rattler.repo_data import Gateway


async def _install(lock: str, prefix: str, cache: str) -> None:
    [records] = LockFile.from_path(lock).default_environment().conda_repodata_records().values()
    await install(
        records,
        target_prefix=prefix,
        cache_dir=cache,
        client=Client.default_client(),
        show_progress=False,
        execute_link_scripts=False,
    )


async def _solve(channel: str, cache: str, lock: str, specs: list[str]) -> None:
    [(platform, packages)] = LockFile.from_path(lock).default_environment().packages_by_platform().items()
    gateway = Gateway(cache_dir=cache, client=Client.default_client())
    locked = [package.repo_data_record() for package in packages]
    found = await solve([channel], specs, gateway=gateway, platforms=[platform.name, "noarch"], locked_packages=locked)
    assert len(found) >= len(locked)


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    asyncio.run(_install(*arguments) if task == "install" else _solve(*arguments[:3], arguments[3:]))
    os._exit(0)  # rattler 0.28 may crash a Python that ends by itself
