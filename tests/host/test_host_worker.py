from __future__ import annotations

import asyncio
import threading

import pytest

from esker.host.clock import Abandoned, Abandonment, Deadline
from esker.host.worker import in_thread


def test_the_result_comes_back():
    """From another thread, and so does an error."""

    async def use():
        thread = await in_thread(lambda _: threading.current_thread())
        assert thread is not threading.current_thread()
        with pytest.raises(KeyError):
            await in_thread(lambda _: {}["x"])

    asyncio.run(use())


async def cancelled_in(call, undo=None, times=1):
    """Cancel a task that waits for `call` once that has begun, and return what comes of it."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def begin(abandoned):
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        return call(abandoned)

    task = asyncio.create_task(in_thread(begin, undo))
    await begun.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(BaseException) as caught:
        await task
    return caught.value


def test_a_cancelled_call_is_told_and_waited_for():
    """It can undo what it began before the cancellation is seen, however often that is repeated."""
    undone = []

    def call(abandoned):
        try:
            Deadline(None, abandoned).step()
        finally:
            undone.append(True)

    assert isinstance(asyncio.run(cancelled_in(call, times=3)), asyncio.CancelledError)
    assert undone == [True]


def test_a_result_that_nobody_takes_is_undone():
    """A call that had come to its end when it was cancelled has made something that must go again."""
    undone = []
    assert isinstance(asyncio.run(cancelled_in(lambda _: "made", undone.append)), asyncio.CancelledError)
    assert undone == ["made"]


def test_an_error_in_undoing_is_not_lost():
    """It takes the place of the cancellation, which it explains."""

    def fail(_):
        raise KeyError("left behind")

    assert isinstance(asyncio.run(cancelled_in(fail)), KeyError)
    assert isinstance(asyncio.run(cancelled_in(lambda _: None, fail)), KeyError)


def test_who_waits_for_something_is_told_at_once():
    """Those that were registered before, those that come later, and not those that have left."""
    told = []
    abandoned = Abandonment()
    with abandoned.telling(lambda: told.append("left")):
        pass
    with abandoned.telling(lambda: told.append("before")):
        abandoned.set()
    with abandoned.telling(lambda: told.append("after")):
        assert told == ["before", "after"]
    with Deadline(None, abandoned).telling(lambda: told.append("deadline")), Deadline().telling(told.clear):
        pass
    assert told == ["before", "after", "deadline"]
    with pytest.raises(Abandoned):
        Deadline(5, abandoned).step()
