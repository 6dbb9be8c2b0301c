"""Health checks on Podman: when Esker has one run, and when it leaves that to somebody else."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from esker.errors import ServiceError
from esker.services.compose.container import Check, Container, parse_containers
from esker.services.supervised import podman_checks
from esker.services.supervised.podman_checks import PodmanChecks

STARTING = Container(
    id="a" * 64,
    name="shop-db-1",
    service="db",
    hash="abc",
    status="running",
    health="starting",
    check=Check(words=("pg_isready",), interval=60.0, timeout=1.0, start_period=30.0, start_interval=0.01),
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


def test_a_port_is_asked_like_a_socket():
    """Podman that listens at `tcp://`, without TLS, gets the same question."""

    async def main():
        asked = asyncio.Queue()

        async def serve(reader, writer):
            asked.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            checks = PodmanChecks(STARTING, f"tcp://{host}:{port}", None)
            async with running(checks), asyncio.timeout(10):
                return checks.problem, await asked.get()

    problem, request = asyncio.run(main())
    assert problem is None
    assert request.startswith(f"GET /v4.0.0/libpod/containers/{'a' * 64}/healthcheck ")


REFUSED = (
    "Error: runc: exec failed: unable to start container process: error adding pid 1789 to cgroups: failed to write "
    "1789: openat2 /sys/fs/cgroup/pids/libpod_parent/x/cgroup.procs: no such file or directory: OCI runtime attempted "
    "to invoke a command that was not found\nError: read unixpacket"
)


@pytest.mark.parametrize(
    ("health", "answers", "found", "is_shut"),
    [
        ("unhealthy", [(1, "not yet\n")], "not yet", False),
        ("unhealthy", [(3, "")], "its check ended with status 3", False),
        ("unhealthy", [(0, "ready")], None, False),
        ("unhealthy", [(127, REFUSED)], REFUSED.splitlines()[0], True),
        ("starting", [(127, REFUSED), (1, "not yet")], "not yet", False),
        ("starting", [(127, REFUSED), (127, REFUSED)], REFUSED.splitlines()[0], True),
    ],
)
def test_what_podman_does_not_tell(monkeypatch, health, answers, found, is_shut):
    """Esker runs the check itself, at once where it has failed for good; twice refused, the engine is at fault."""
    monkeypatch.setattr(podman_checks, "_OWN", 0.0)

    async def main():
        checks = PodmanChecks(STARTING._replace(health=health), "unix:///socket", None)
        left = list(answers)

        async def attempt(_):
            return left.pop(0)

        for _ in answers:
            await checks.explain(attempt)
        return checks.found, checks.is_shut

    assert asyncio.run(main()) == (found, is_shut)


def test_a_run_of_the_check_is_not_made_at_each_look():
    """While the container is starting, one is made every two seconds; an engine that is silent is what it finds."""

    async def main():
        checks = PodmanChecks(STARTING, "unix:///socket", None)
        await checks.explain(None)  # would fail if it were called
        checks.see(STARTING._replace(health="unhealthy"))

        async def attempt(_):
            raise ServiceError("the container engine does not answer")

        await checks.explain(attempt)
        return checks.found

    assert asyncio.run(main()) == "the container engine does not answer"


def test_an_engine_elsewhere_is_named():
    """Esker reaches a Unix socket or a port; a result that is there all the same is no problem."""

    async def main():
        checks = PodmanChecks(STARTING, "ssh://somewhere", None)
        await checks.run(lambda: 0.0)
        told = checks.problem
        checks.see(STARTING._replace(checked="1"))
        return told, checks.problem

    told, later = asyncio.run(main())
    assert (
        told == "no health check has run: Esker runs those of Podman over a Unix socket or `tcp://`, "
        "but not at `ssh://somewhere`"
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
    assert found.check == Check(words=("true",), interval=2.0, timeout=30.0, start_period=0.5, start_interval=5.0)
    assert (found.is_podmans, found.checked, found.last_change) == (True, "now", 1795996802.0)
