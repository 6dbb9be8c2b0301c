"""The container engine as the supervisor asks it: a command that does not end in time."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys

import pytest

from esker.errors import ServiceError
from esker.host import pidfd
from esker.services.compose.container import Check, Container
from esker.services.specification import ContainerSpec, ServiceSpec
from esker.services.status import Killed
from esker.services.supervised import container_service
from esker.services.supervised.children import Children
from esker.services.supervised.container_service import ContainerService
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


def by_engine(tmp_path):
    """Return an engine whose `docker` lies in the directory, and a service in one of its containers."""
    engine = Engine(Children(asyncio.get_running_loop()), f"{write_project(tmp_path / 'shop')}/.flox")
    engine.use({"PATH": str(tmp_path)}, str(tmp_path))
    return engine, ContainerService(ServiceSpec(name="db", command=""), engine, lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize(("status", "killed"), [(137, True), (0, False)])
def test_a_container_that_had_to_be_killed_says_so(tmp_path, status, killed):
    """The engine's command does not say that it has killed; the container's exit status does."""
    inspected = {
        "Id": "abc",
        "Name": "/shop-db-1",
        "Config": {"Labels": None, "StopSignal": "2"},
        "State": {"Status": "exited", "ExitCode": status},
    }
    docker = tmp_path / "docker"
    answer = shlex.quote(json.dumps([inspected]))
    docker.write_text(f"#!/bin/sh\n[ $1 = stop ] && exec /bin/sleep 1\n[ $1 = inspect ] && echo {answer}\n")
    docker.chmod(0o755)

    async def main():
        engine, service = by_engine(tmp_path)
        (service.container,) = await engine.inspect("abc")
        service.take_over()
        return await service._end(1.0)

    told = asyncio.run(main())
    assert told == (Killed(service="db", signal="SIGINT", seconds=1, container="shop-db-1") if killed else None)


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [False, True])
def test_a_hurried_stop_kills_its_own_run_of_a_container_and_no_later_one(tmp_path, hangs):
    """A second stop shortens the first one's grace; once that is over, the container may be in use again."""
    docker, killed = tmp_path / "docker", tmp_path / "killed"
    wait = f"until [ -e {killed} ]; do /bin/sleep 0.01; done" if hangs else "exec /bin/sleep 0.1"
    docker.write_text(f"#!/bin/sh\n[ $1 = kill ] && : >{killed}\n[ $1 != stop ] || {wait}\n")
    docker.chmod(0o755)

    async def main():
        _, service = by_engine(tmp_path)
        service.container, service.state = Container(id="abc", name="shop-db-1", service="db", hash=""), "Running"
        service.take_over()
        await asyncio.gather(service.stop(20.0), service.stop(0.3))
        assert service.state == "Stopped"
        await asyncio.sleep(0.4)

    asyncio.run(main())
    assert killed.exists() == hangs


def test_a_service_that_is_stopped_when_its_container_ends_does_not_go_on(tmp_path, monkeypatch):
    """The order to stop comes while the checks of a container on Podman are being ended; it is not lost with them."""
    begun, ending, ended, went_on = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Checks:
        def __init__(self, *_):
            pass

        async def run(self, _):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ending.set()
                await ended.wait()

    class NoEngine:
        async def host(self):
            return "unix:///nowhere"

    check = Check(("true",), 1.0, 1.0, 0.0, 1.0)
    container = Container(id="abc", name="shop-db-1", service="db", hash="", check=check, is_podmans=True)
    described = ContainerSpec(service="db", project="shop", directory="/", files=(), hashes=())
    monkeypatch.setattr(container_service, "PodmanChecks", Checks)

    async def main():
        spec = ServiceSpec(name="db", command="", container=described)
        service = ContainerService(spec, NoEngine(), lambda _: None)

        async def live():
            async with service._checked(container):
                await begun.wait()
            went_on.set()

        life = asyncio.create_task(live())
        await ending.wait()
        life.cancel()
        ended.set()
        with pytest.raises(asyncio.CancelledError):
            await life

    asyncio.run(main())
    assert not went_on.is_set()


def test_a_supervisor_of_processes_alone_loads_nothing_of_containers():
    """Most environments have none, and each module takes time at every first start."""
    code = "import sys, esker.services.supervised.server; print(*(name for name in sys.modules if 'compose' in name))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == ""
