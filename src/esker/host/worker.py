"""A call that blocks, made by a coroutine: in a thread, and given up when the coroutine is cancelled."""

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from esker.host.clock import Abandoned

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

__all__ = ["Abandonment", "in_thread"]

T = TypeVar("T")


class Abandonment:
    """Whether a result is still wanted, told to those that look now and then and to those that wait for something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._calls: list[Callable[[], object]] = []

    def set(self) -> None:
        """Say that nobody wants the result any more."""
        with self._lock:
            self._is_set = True
            for call in self._calls:
                call()

    def is_set(self) -> bool:
        """Whether that was said."""
        return self._is_set

    @contextmanager
    def telling(self, call: "Callable[[], object]") -> "Iterator[None]":
        """Within the block, `call` is called when the result is given up, at once if it was before."""
        with self._lock:
            if self._is_set:
                call()
            self._calls.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


async def in_thread(call: "Callable[[Abandonment], T]", undo: "Callable[[T], object] | None" = None) -> T:
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


async def _end(running: "asyncio.Future[T]") -> None:
    """Wait for a thread, however often we are told not to."""
    import asyncio

    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue
