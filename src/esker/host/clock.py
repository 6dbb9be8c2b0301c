"""What time it is, how much of it is left, and whether the result is still wanted."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Abandoned", "Abandonment", "Deadline", "timestamp"]

_STEP = 0.05
"""Seconds after which a wait that may be given up looks whether it was."""


class Abandoned(Exception):
    """Whoever waited does not want the result any more."""


class Abandonment:
    """Whether a result is still wanted, told to those that look now and then and to those that wait for something."""

    def __init__(self) -> None:
        from threading import Lock

        self._lock = Lock()
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
    def telling(self, call: Callable[[], object]) -> Iterator[None]:
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


class Deadline:
    """When a wait ends: after some seconds (None: never), or because it was given up."""

    def __init__(self, seconds: float | None = None, abandoned: Abandonment | None = None) -> None:
        self.seconds = seconds
        self._abandoned = abandoned
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, or None when there is no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def step(self, longest: float | None = None) -> float | None:
        """Return for how many seconds to wait before looking again; raises Abandoned."""
        if self._abandoned is not None:
            if self.is_abandoned:
                raise Abandoned
            longest = min(_STEP, longest or _STEP)
        left = self.left()
        return left if longest is None else longest if left is None else min(left, longest)

    def lasting(self, seconds: float) -> Deadline:
        """Return a deadline of some seconds from now that is given up with this one."""
        return Deadline(seconds, self._abandoned)

    def telling(self, call: Callable[[], object]) -> AbstractContextManager[None]:
        """Within the returned context, `call` is called when the wait is given up."""
        return nullcontext() if self._abandoned is None else self._abandoned.telling(call)

    @property
    def is_limit(self) -> bool:
        """Whether the wait can end before what is waited for."""
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
        """Sleep for as long, or until the end; raises Abandoned."""
        time.sleep(self.step(seconds) or 0)


def timestamp() -> str:
    """Return the time as ISO 8601 has it, in UTC and whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
