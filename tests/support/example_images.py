"""Images of the examples, made of what can be had here: the tests' conda channel in conda-forge's place, and PyPI.

    example = ExampleImages(tmp_path, channel)
    example.esker("lock", "-d", "examples/items/images/api")

The channel has packages of Debian for this machine alone, so a copy of the examples is for this system alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rattler import Channel

from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.conda_channel import CondaChannel
    from tests.support.containers.engine import ContainerEngine

__all__ = ["EXAMPLES", "ExampleImages", "healthy"]

EXAMPLES = Path(__file__).parents[2] / "examples"
_MADE = ("cache", "run", "log", "lib", "__pycache__", "pylock.toml", "conda.lock", "image.lock")
_SYSTEMS = 'systems = ["x86_64-linux", "aarch64-linux"]'
_PATIENCE = 60
"""Seconds that a container may take until it is healthy."""


class ExampleImages:
    """A git repository with a copy of an example, and a home in which conda-forge, and others, are the tests' channel."""

    def __init__(self, directory: Path, channel: CondaChannel, *others: str) -> None:
        self.top = directory / "clone"
        home = directory / "home"
        (home / ".pixi").mkdir(parents=True)
        upstream = Channel("conda-forge").base_url.rstrip("/")
        mirrors = "".join(f'"{each}" = ["{channel.url}"]\n' for each in (upstream, *others))
        (home / ".pixi/config.toml").write_text(f"[mirrors]\n{mirrors}")
        kept = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_CERT", "PIP_"))}
        cache = {"UV_CACHE_DIR": os.path.expanduser("~/.cache/uv")}
        own = {"HOME": str(home), "ESKER_STORE": str(directory / "store"), "PATH": os.environ["PATH"]}
        self.environ = {**cache, **kept, **own}

    def copy(self, name: str, mapped: Mapping[str, str] | None = None, without: Iterable[str] = ()) -> Path:
        """Copy an example into the repository; in its manifests, text is mapped, which has to be there.

        Packages in `without` are taken out, of dependencies and of layers.
        """
        target = self.top / "examples" / name
        shutil.copytree(EXAMPLES / name, target, ignore=shutil.ignore_patterns(*_MADE))
        missing = set(mapped or {})
        for manifest in sorted(target.rglob(".flox/env/manifest.toml")):
            text = manifest.read_text().replace(_SYSTEMS, f'systems = ["{Settings({}).system}"]')
            for before, after in (mapped or {}).items():
                missing -= {before} if before in text else set()
                text = text.replace(before, after)
            for package in without:
                text = re.sub(rf'"{package}",?', "", text)
            manifest.write_text(text)
        assert not missing, f"no manifest has {missing}"
        for words in (["init", "--quiet"], ["add", "--all"]):
            subprocess.run(["git", *words], cwd=self.top, check=True)
        return target

    def esker(self, *arguments: str, **variables: str) -> str:
        """Run Esker in the repository, and return what it prints; raises AssertionError with its messages."""
        command = [sys.executable, "-m", "esker", *arguments]
        environ = self.environ | variables
        done = subprocess.run(command, cwd=self.top, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout


def healthy(engine: ContainerEngine, name: str) -> None:
    """Wait until a container is healthy. Podman's checks are run from here, as on a machine without systemd."""
    from tests.support.containers.podman import PodmanEngine

    deadline = time.monotonic() + _PATIENCE
    while True:
        if isinstance(engine, PodmanEngine):
            engine.podman("healthcheck", "run", name)
        state = engine.docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", name).strip()
        if state == "running healthy":
            return
        assert state.startswith("running"), (state, engine.docker("logs", name))
        assert time.monotonic() < deadline, (state, engine.docker("logs", name), engine.docker("inspect", name))
        time.sleep(0.2)
