"""GitHub and GitLab for tests: act and gitlab-ci-local, with machines on an engine of the tests.

    with Machines(engine, directory) as machines:
        done = machines.github(repository)

Esker is what this clone has, installed as a job does it, by pip: on GitHub from the source of the action, on GitLab from
a wheel. The wheels that it needs are fetched once. What the example needs comes from the machine's registries.
Of an action that is not ours, a stand-in in `actions` does what the job can notice of it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uv

from esker.ship.ci.versions import ACTIONS, GITHUB_RUNNERS
from tests.support.ci import machine, programs, wheels
from tests.support.installed_esker import registry_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.containers.engine import ContainerEngine

__all__ = ["Machines", "Run"]

_ROOT = Path(__file__).parents[3]
_ACTIONS = Path(__file__).parent / "actions"
_ESKER = ("action.yml", "pyproject.toml", "README.md", "LICENSE", "src", "tests/support")
_STAND_INS = {
    "actions/cache": "cache",
    "flox/install-flox-action": "install-flox",
    "flox/activate-action": "activate-flox",
    "DeterminateSystems/nix-installer-action": "install-nix",
    "DeterminateSystems/magic-nix-cache-action": "nothing",
    "PromyLOPh/guix-install-action": "install-guix",
}
"""By the foreign action: the directory of its stand-in. What checks out is act's own."""
_CERTIFICATES = "/etc/ssl/certs"
_WITHOUT_REGISTRY = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels /wheel", "LANG": "C.UTF-8"}
"""Variables with which Esker is installed from the wheels."""


class Run(NamedTuple):
    """How a run of workflows ended, and what it printed."""

    status: int
    log: str

    def lines(self, text: str) -> list[str]:
        """Return the lines that have a text."""
        return [line for line in self.log.splitlines() if text in line]


class Machines:
    """Machines for jobs, and the caches of their workflows."""

    def __init__(self, engine: ContainerEngine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        for name in ("caches", "home", "gitlab"):
            (directory / name).mkdir()
        self.esker = directory / "esker"
        """A copy of what makes Esker, which is its action too."""
        for name in _ESKER:
            (self.esker / name).parent.mkdir(parents=True, exist_ok=True)
            if (_ROOT / name).is_dir():
                shutil.copytree(_ROOT / name, self.esker / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(_ROOT / name, self.esker / name)
        self._wheel()
        engine.docker("import", str(machine.ROOT.path() / "root.tar"), machine.IMAGE)

    def _wheel(self) -> None:
        """Make the wheel of Esker that GitLab's jobs take, as they would from an index."""
        build = ["build", "--quiet", "--wheel", "--no-index", "--find-links", str(wheels.ROOT.path())]
        out = ["--out-dir", str(self._directory / "wheel"), str(self.esker)]
        subprocess.run([uv.find_uv_bin(), *build, *out], check=True)

    def github(self, repository: Path, *options: str, **variables: str) -> Run:
        """Run the workflows of a repository, for a push; on the first system of their matrix."""
        local = [f"{name}@{_version(name)}={_ACTIONS / where}" for name, where in _STAND_INS.items()]
        local.append(f"{ACTIONS['esker']}={self.esker}")
        mounts = " ".join(f"-v {source}:{target}" for source, target in self._mounts().items())
        command = [
            *(str(programs.ROOT.path() / "act"), "push", "--pull=false", "--rm", "--no-cache-server"),
            *("-P", f"{GITHUB_RUNNERS['x86_64-linux']}={machine.IMAGE}", "--matrix", "system:x86_64-linux"),
            *("--container-options", mounts, "--concurrent-jobs", "2"),
            *(word for each in local for word in ("--local-repository", each)),
            *(word for name, value in self._given(variables).items() for word in ("--env", f"{name}={value}")),
            *options,
        ]
        environ = os.environ | self._engine.variables
        environ |= {"HOME": f"{self._directory}/home", "XDG_CACHE_HOME": f"{self._directory}/home/cache"}
        return _run(command, repository, environ)

    def gitlab(self, repository: Path, *options: str, **variables: str) -> Run:
        """Run the pipeline of a repository on one machine, by a shell on it."""
        own = ("--force-shell-executor", "--shell-isolation")
        return self._gitlab(repository, self._mounts(), self._given(variables), (*own, *options))

    def gitlab_in_containers(self, repository: Path, service: str, *options: str) -> Run:
        """Run the pipeline of a repository in containers, with that of its one `service` beside it on a network.

        The jobs reach no registry. The engine of the tests cannot resolve names of containers, which needs a packet
        filter, so the job is told the service's address. GitLab's own wait for a service does not succeed here, as it
        does not for a port that an image does not expose: the job waits itself.
        """
        socket = self._engine.variables["DOCKER_HOST"].removeprefix("unix://")
        own = (
            *("--pull-policy", "if-not-present", "--helper-image", machine.IMAGE, "--wait-image", machine.IMAGE),
            *("--extra-host", f"{service}:{self._next_address()}"),
            *(word for source, target in self._mounts().items() for word in ("--volume", f"{source}:{target}")),
            *(word for name, value in _WITHOUT_REGISTRY.items() for word in ("--variable", f"{name}={value}")),
        )
        return self._gitlab(repository, {socket: "/var/run/docker.sock"}, {}, (*own, *options))

    def _next_address(self) -> str:
        """Return the address of the first container on the next network that the engine makes."""
        self._engine.docker("network", "create", "next")
        (network,) = json.loads(self._engine.docker("network", "inspect", "next"))
        self._engine.docker("network", "rm", "next")
        last = ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"])[-1]
        return str(last + 3)  # networks lie one after the other; the first address is none, the second the machine's

    def _gitlab(
        self,
        repository: Path,
        mounts: Mapping[Path | str, str],
        variables: Mapping[str, str],
        options: Sequence[str],
    ) -> Run:
        places = {
            **mounts,
            programs.ROOT.path(): "/programs:ro",
            self._directory / "gitlab": "/work/.gitlab-ci-local",
        }
        script = (
            "cp -a /repository/. /work && cd /work && exec /programs/node /programs/gitlab-ci-local.mjs "
            '--concurrency 1 "$@"'
        )
        command = [
            *("docker", "run", "--rm", "--init", "--network", "host", "-v", f"{repository}:/repository:ro"),
            *(word for source, target in places.items() for word in ("-v", f"{source}:{target}")),
            *(word for name, value in variables.items() for word in ("-e", f"{name}={value}")),
            *(machine.IMAGE, "bash", "-c", script, "gitlab", *options),
        ]
        return _run(command, repository, os.environ | self._engine.variables)

    def _mounts(self) -> dict[Path | str, str]:
        return {
            self._directory / "caches": "/caches",
            wheels.ROOT.path(): "/wheels:ro",
            self._directory / "wheel": "/wheel:ro",
            self.esker: "/esker:ro",
            _CERTIFICATES: f"{_CERTIFICATES}:ro",
        }

    def _given(self, variables: Mapping[str, str]) -> Mapping[str, str]:
        return {**registry_variables(), **_WITHOUT_REGISTRY, **variables}


def _version(name: str) -> str:
    """Return the version by which workflows use an action."""
    return next(action.partition("@")[2] for action in ACTIONS.values() if action.startswith((f"{name}@", f"{name}/")))


def _run(command: list[str], directory: Path, environ: Mapping[str, str]) -> Run:
    done = subprocess.run(
        command,
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout)
