"""A directory with a Compose file, and Compose run there by hand."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.containers.engine import DockerEngine

__all__ = ["ComposeProject"]


class ComposeProject:
    """A project of Compose on an engine of the tests."""

    def __init__(self, engine: DockerEngine, path: Path) -> None:
        self.engine, self.path = engine, path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Compose in the directory, however it ends."""
        environ = os.environ | self.engine.variables | variables
        command = ["docker", "compose", *arguments]
        return subprocess.run(command, cwd=self.path, env=environ, capture_output=True, text=True, check=False)

    def compose(self, *arguments: str, **variables: str) -> str:
        """Run Compose in the directory, and return what it prints. Raises RuntimeError with its messages."""
        done = self.run(*arguments, **variables)
        if done.returncode != 0:
            raise RuntimeError(f"docker compose {' '.join(arguments)} failed: {done.stderr}")
        return done.stdout.strip()

    def config(self, *options: str, **variables: str) -> dict[str, Any]:
        """Return how Compose reads the files."""
        return json.loads(self.compose(*options, "config", "--format", "json", **variables))  # type: ignore[no-any-return]

    def states(self) -> dict[str, str]:
        """Return the health of each service's container, or what it does where there is no check."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {each["Service"]: each["Health"] or each["State"] for each in map(json.loads, lines)}
