"""The time, deadlines, and waits that can be given up."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager, contextmanager, suppress
else:
    from esker.host.context import contextmanager, suppress

__all__ = ["Abandoned", "Abandonment", "Deadline", "local_minute", "timestamp"]

_STEP = 0.05
"""Seconds after which a wait checks again whether it was given up."""


class Abandoned(Exception):
    """Whoever waited for the result does not want it any more."""


class Abandonment:
    """Whether a result is still wanted; another thread sets it, and a long call checks it.

    A call that can look now and then uses `is_set`. A call that blocks registers a function with `telling`.
    """

    def __init__(self) -> None:
        from threading import Lock

        self._lock = Lock()
        self._is_set = False
        self._calls: list[Callable[[], object]] = []

    def set(self) -> None:
        """Declare that nobody wants the result any more, and call the registered functions."""
        with self._lock:
            self._is_set = True
            for call in self._calls:
                call()

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._is_set

    @contextmanager
    def telling(self, call: Callable[[], object]) -> Iterator[None]:
        """During the block, have `set` call `call`; if `set` was called before, call it at once."""
        with self._lock:
            if self._is_set:
                call()
            self._calls.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


class Deadline:
    """The end of a wait: after some seconds (None means no limit), or when `abandoned` is set."""

    def __init__(self, seconds: float | None = None, abandoned: Abandonment | None = None) -> None:
        self.seconds = seconds
        self._abandoned = abandoned
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, or None when there is no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def step(self, longest: float | None = None) -> float | None:
        """Return how long to wait, at most `longest` seconds, before checking again; None means without limit.

        Raises Abandoned if the wait was given up.
        """
        if self._abandoned is not None:
            if self.is_abandoned:
                raise Abandoned
            longest = min(_STEP, longest or _STEP)
        left = self.left()
        return left if longest is None else longest if left is None else min(left, longest)

    def lasting(self, seconds: float) -> Deadline:
        """Return a deadline in `seconds` from now that is given up when this one is."""
        return Deadline(seconds, self._abandoned)

    def telling(self, call: Callable[[], object]) -> AbstractContextManager[None]:
        """Return a context during which `call` is called if the wait is given up."""
        return suppress() if self._abandoned is None else self._abandoned.telling(call)

    @property
    def is_limit(self) -> bool:
        """Whether the wait may end before the awaited event, by time or by being given up."""
        return self._end is not None or self._abandoned is not None

    @property
    def is_abandoned(self) -> bool:
        """Whether the wait was given up."""
        return self._abandoned is not None and self._abandoned.is_set()

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left() == 0

    def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, or less if the deadline comes first; raises Abandoned if the wait was given up."""
        time.sleep(self.step(seconds) or 0)


def timestamp() -> str:
    """Return the current time in ISO 8601, in UTC and whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def local_minute(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as people here read it, such as `2025-03-01 14:05`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
