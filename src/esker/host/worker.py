"""Blocking calls for coroutines: they run in a thread and are given up when the coroutine is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from esker.host.clock import Abandoned, Abandonment

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(call: Callable[[Abandonment], T], undo: Callable[[T], object] | None = None) -> T:
    """Run `call` in a thread and return its result; if this coroutine is cancelled, give up the call and wait for it.

    `call` should notice that it was given up (by a `Deadline`), undo what it began and raise Abandoned. If it finishes
    all the same, `undo` gets its result. An error of `call` or `undo` then replaces the cancellation, because otherwise
    nobody would see it.
    """
    import asyncio

    abandoned = Abandonment()
    running = asyncio.ensure_future(asyncio.to_thread(call, abandoned))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        abandoned.set()
        await _end(running)
        error = running.exception()
        if error is None and undo is not None:
            undoing = asyncio.ensure_future(asyncio.to_thread(undo, running.result()))
            await _end(undoing)
            error = undoing.exception()
        if error is None or isinstance(error, Abandoned):
            raise
        raise error from None


async def _end(running: asyncio.Future[T]) -> None:
    """Wait until `running` is done, however often this coroutine is cancelled meanwhile."""
    import asyncio

    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue
