"""A call that blocks, made by a coroutine: in a thread, and given up when the coroutine is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from esker.host.clock import Abandoned, Abandonment

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(call: Callable[[Abandonment], T], undo: Callable[[T], object] | None = None) -> T:
    """Return what `call` returns; when this coroutine is cancelled, tell the call so and wait until it has ended.

    `call` notices (by a `Deadline`), undoes what it began and raises Abandoned; what it had finished all the same is
    given to `undo`. An error in undoing is raised in place of the cancellation, because nothing else tells it.
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
    """Wait for a thread, however often we are told not to."""
    import asyncio

    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue
