"""Health checks on Podman: when Esker has one run, and when it leaves that to somebody else."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from esker.services.compose.container import Check, Container, parse_containers
from esker.services.supervised.podman_checks import PodmanChecks

STARTING = Container(
    id="a" * 64,
    name="shop-db-1",
    service="db",
    hash="abc",
    status="running",
    health="starting",
    check=Check(interval=60.0, timeout=1.0, start_period=30.0, start_interval=0.01),
    is_podmans=True,
)


@asynccontextmanager
async def podman(path, answer=b"HTTP/1.0 200 OK\r\n\r\n{}"):
    """Give a queue of the requests that a socket gets, where Podman should listen."""
    asked = asyncio.Queue()

    async def serve(reader, writer):
        asked.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield asked


@asynccontextmanager
async def running(checks, uptime=0.0):
    """Have the checks run within the block."""
    task = asyncio.create_task(checks.run(lambda: uptime))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_check_is_asked_for_again_and_again(tmp_path):
    """In the start period at the start interval, over the engine's socket, with the container's id."""

    async def main():
        async with podman(tmp_path / "socket") as asked:
            checks = PodmanChecks(STARTING, f"unix://{tmp_path}/socket", None)
            async with running(checks), asyncio.timeout(10):
                return [await asked.get() for _ in range(3)]

    assert {each.splitlines()[0] for each in asyncio.run(main())} == {
        f"GET /v4.0.0/libpod/containers/{'a' * 64}/healthcheck HTTP/1.0"
    }


@pytest.mark.parametrize(
    ("container", "start_interval", "uptime"),
    [
        (STARTING, 60.0, 0.0),  # the Compose file's start interval
        (STARTING, None, 31.0),  # the start period is over
        (STARTING._replace(health="healthy"), None, 0.0),
        (STARTING._replace(status="paused"), None, 0.0),
    ],
)
def test_no_check_before_it_is_due(tmp_path, container, start_interval, uptime):
    """It waits for the interval that counts, and in a paused container nothing can run."""

    async def main():
        async with podman(tmp_path / "socket") as asked:
            checks = PodmanChecks(container, f"unix://{tmp_path}/socket", start_interval)
            async with running(checks, uptime):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asked.get(), 0.1)

    asyncio.run(main())


def test_a_check_of_somebody_else_is_waited_for(tmp_path):
    """While results come that Esker has not asked for, it asks for none; when they stay away, it does."""

    async def main():
        async with podman(tmp_path / "socket") as asked:
            container = STARTING._replace(check=STARTING.check._replace(start_interval=0.2))
            checks = PodmanChecks(container, f"unix://{tmp_path}/socket", None)
            async with running(checks), asyncio.timeout(10):
                for number in range(8):
                    checks.see(container._replace(checked=str(number)))
                    await asyncio.sleep(0.05)
                assert asked.empty()
                await asked.get()

    asyncio.run(main())


def test_an_engine_that_has_gone_is_no_failure_of_the_check(tmp_path):
    """The end of the events tells that the engine has ended; here it is tried again."""

    async def main():
        checks = PodmanChecks(STARTING, f"unix://{tmp_path}/socket", None)
        async with running(checks) as task, asyncio.timeout(10):
            await asyncio.sleep(0.05)
            assert not task.done()
            async with podman(tmp_path / "socket") as asked:
                await asked.get()

    asyncio.run(main())


def test_an_engine_elsewhere_is_named():
    """Esker reaches no other socket than a Unix one; a result that is there all the same is no problem."""

    async def main():
        checks = PodmanChecks(STARTING, "ssh://somewhere", None)
        await checks.run(lambda: 0.0)
        told = checks.problem
        checks.see(STARTING._replace(checked="1"))
        return told, checks.problem

    told, later = asyncio.run(main())
    assert (
        told == "no health check has run: Esker runs those of Podman over a Unix socket, but not at `ssh://somewhere`"
    )
    assert later is None


def test_podman_describes_a_container():
    """Its annotation tells the engine; times are nanoseconds, and what it does not say is as with Docker."""
    record = {
        "Id": "1",
        "Name": "/shop-db-1",
        "Created": "2026-11-30T00:00:00.5Z",
        "State": {
            "Status": "running",
            "ExitCode": 0,
            "StartedAt": "2026-11-30T00:00:02Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "starting", "Log": [{"End": "now", "Output": ""}]},
        },
        "Config": {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 2_000_000_000, "StartPeriod": 500_000_000}},
        "HostConfig": {"Annotations": {"io.container.manager": "libpod"}},
    }
    found = parse_containers(json.dumps([record]))[0]
    assert found.check == Check(interval=2.0, timeout=30.0, start_period=0.5, start_interval=5.0)
    assert (found.is_podmans, found.checked, found.last_change) == (True, "now", 1795996802.0)
