"""What type checkers must see of `esker.flox`: read by them, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

from esker.flox import Flox, FloxServiceHandle, FloxServices, Result, ServiceInfo, flox_required


def paths_and_services() -> None:
    assert_type(Flox().path, Path)
    assert_type(Flox(Path(), services=["postgres"], engine="native").exists, bool)
    assert_type(Flox(".", ("postgres",)).services, FloxServices)
    assert_type(Flox.version(), str)
    assert_type(Flox.init(".", "name"), Flox)
    assert_type(FloxServices(".").status("postgres"), list[ServiceInfo])
    assert_type(ServiceInfo("a", "Running").as_tuple(), tuple[str, str, int | None])
    Flox(engine="nix")  # error: the engine is one of three
    Flox(services="postgres")  # a text is iterable too: this is refused when it runs


def results() -> None:
    result = Flox().run("pytest", ["-q"], cwd=Path(), timeout=5)
    assert_type(result, Result)
    status, output, _ = result
    assert_type(status, int)
    assert_type(output, str)
    Flox().run(["pytest"])  # error: a program and its arguments are two things


def logs(follow: bool) -> None:
    services = FloxServices(".")
    assert_type(services.logs("a"), str)
    assert_type(services.logs("a", tail=5), str)
    assert_type(services.logs("a", True), Iterator[str])
    assert_type(services.logs("a", follow=True), Iterator[str])


def handles() -> None:
    handle = Flox().services.start("a", timeout=5)
    assert_type(handle, FloxServiceHandle)
    assert_type(handle.services, list[ServiceInfo])
    handle.save(Path("handle.json"))
    assert_type(FloxServiceHandle.load("handle.json"), FloxServiceHandle)
    FloxServices(".").wait(until="asleep")  # error: there are three states to wait for


def blocks() -> None:
    with Flox() as flox:
        assert_type(flox, Flox)


async def asynchronous_blocks() -> None:
    async with Flox() as flox:
        assert_type(flox, Flox)
        assert_type(await flox.arun("true"), Result)
        assert_type(await flox.services.astart("a"), FloxServiceHandle)


@flox_required(".", services=["postgres"])
def plain(left: int, *, right: str = "") -> bytes:
    return b""


@flox_required()
async def coroutine(value: int) -> str:
    return ""


@flox_required()
def generator() -> Iterator[int]:
    yield 1


@flox_required()
async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


class Task:
    """Methods keep their parameters too."""

    @flox_required()
    def method(self, value: int) -> str:
        """Take one."""
        return ""


async def decorated() -> None:
    assert_type(plain(1, right=""), bytes)
    assert_type(await coroutine(1), str)
    assert_type(generator(), Iterator[int])
    assert_type(asynchronous_generator(), AsyncIterator[int])
    assert_type(Task().method(1), str)
    plain("1")  # error: a decorated function keeps its parameters
    flox_required(lambda: None)  # error: the decorator needs its parentheses
