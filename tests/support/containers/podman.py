"""Podman as Docker's client and Compose see it, from Debian's newest packages.

Nothing runs its health checks here, as on any machine without systemd: `podman healthcheck run` does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.containers.engine import ContainerEngine
from tests.support.containers.places import control_groups
from tests.support.sid.root import ROOT

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PodmanEngine"]

_TABLE = "inet netavark"
"""Of nftables: where Podman writes how published ports are reached."""
_GROUP = "libpod_parent"
"""Where Podman puts the processes that watch its containers."""
_SETTINGS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
compat_api_enforce_docker_hub = false
events_logger = "file"
runtime = "runc"
[network]
default_subnet = "{first}"
default_subnet_pools = [{{ base = "{others}", size = 26 }}]
"""
"""Without systemd, and with limits that a machine without CAP_SYS_RESOURCE grants; images keep names without a host."""


class PodmanEngine(ContainerEngine):
    """Podman, which is root in a Debian of its own; the machine's /tmp and /var/tmp are also there.

    One runs at a time: Podman's control group and its table of the packet filter have one name for the whole machine.
    After tests have been killed, both stay there, the group empty.
    """

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            alone = stack.enter_context(open("/var/tmp/esker-podman.lock", "w", encoding="utf-8"))
            fcntl.flock(alone, fcntl.LOCK_EX)
            super().__enter__()
            self._alone = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._alone:
            super().__exit__(kind, error, trace)

    def _prepare(self) -> None:
        directory = self._place.directory
        if not control_groups(_GROUP):
            self._place.groups.append(_GROUP)
        memory, tree = directory / "memory", directory / "memory/tree"
        self._mount_memory(memory)
        files, processes = (resource.getrlimit(each)[1] for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        first, second = self._place.networks.subnets()
        settings = _SETTINGS.format(
            files=_at_most(files, 20000),
            processes=_at_most(processes, 20000),
            first=next(first.subnets(new_prefix=26)),
            others=second,
        )
        (directory / "containers.conf").write_text(settings)
        layers = f"lowerdir={ROOT.path()},upperdir={memory}/upper,workdir={memory}/work"
        steps = [
            f"mkdir {memory}/upper {memory}/work {tree} && mount -t overlay -o {layers} esker {tree} && cd {tree}",
            *(f"mount --rbind /{each} {each}" for each in ("proc", "sys", "dev", "tmp", "var/tmp")),
            f"mount -t tmpfs esker run && mkdir -p {tree}/old var/lib/containers",
            f"mount -t tmpfs -o size=4g esker var/lib/containers && cp {directory}/containers.conf etc/containers",
            "echo nameserver 127.0.0.1 >etc/resolv.conf",
            "pivot_root . old && umount -l /old && cd /",
        ]
        done = self._tell(" && ".join(steps) + "; echo $?")
        self._had_table = self._tell(f"nft list table {_TABLE} >/dev/null 2>&1; echo $?") == "0"
        if done != "0":
            raise RuntimeError(f"no Debian for Podman: {(directory / 'log').read_text()}")
        client = directory / "bin/podman"
        client.parent.mkdir()
        client.write_text(
            f'#!/bin/sh\nexec nsenter --target {self._init()} --pid --mount --root --wd=/ /usr/bin/podman "$@"\n'
        )
        client.chmod(0o755)
        self.variables["PATH"] = f"{client.parent}:{self.variables['PATH']}"
        self.variables["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Podman's own client, however it ends."""
        environ = os.environ | self.variables
        return subprocess.run(["podman", *arguments], env=environ, capture_output=True, text=True, check=False)

    def _command(self) -> str:
        return f"podman system service --time 0 unix://{self._socket}"

    def _finish(self) -> None:
        try:
            self.clear()
        finally:
            if not self._had_table:
                self._tell(f"nft delete table {_TABLE}; echo deleted")

    def _init(self) -> str:
        """Return the pid of the first process in the namespaces, as it is outside."""
        pid = self._shell.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


def _at_most(limit: int, most: int) -> int:
    return most if limit == resource.RLIM_INFINITY else min(limit, most)
