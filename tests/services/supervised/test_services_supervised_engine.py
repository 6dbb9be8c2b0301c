"""The container engine as the supervisor asks it: a command that does not end in time."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from esker.errors import ServiceError
from esker.host import pidfd
from esker.services.supervised.children import Children
from esker.services.supervised.engine import Engine
from tests.support.projects import write_project


@pytest.mark.slow
def test_a_command_that_does_not_end_is_killed(tmp_path):
    """The question and its limit are named, and the command's process group is gone: Compose runs below `docker`."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n/bin/sleep 1000 &\necho $! >pid\nwait\n")
    docker.chmod(0o755)
    dot_flox = f"{write_project(tmp_path / 'shop')}/.flox"

    async def main():
        engine = Engine(Children(asyncio.get_running_loop()), dot_flox)
        engine.use({"PATH": str(tmp_path)}, str(tmp_path))
        with pytest.raises(ServiceError, match=r"does not answer: `docker ps` has not ended within 1 s"):
            await engine._run("docker", "ps", seconds=1)
        with pidfd.opened(int((tmp_path / "pid").read_text())) as below:
            assert below is None or pidfd.wait(below, 10)

    asyncio.run(main())


def test_a_supervisor_of_processes_alone_loads_nothing_of_containers():
    """Most environments have none, and each module takes time at every first start."""
    code = "import sys, esker.services.supervised.server; print(*(name for name in sys.modules if 'compose' in name))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == ""
