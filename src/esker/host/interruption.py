"""Ctrl-C in a program that calls us: it leaves us as a KeyboardInterrupt and nothing else.

While a library works, Python raises the interruption wherever the program is at that moment: deep in the library, and
maybe while it handles an error of its own. The caller has asked for neither, and sees where their own program was.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

__all__ = ["plain"]

F = TypeVar("F", bound="Callable[..., Any]")
_OURS = {__name__.partition(".")[0], *sys.stdlib_module_names}


def plain(function: F) -> F:
    """Let a KeyboardInterrupt leave `function` without the errors that were being handled inside, and without frames.

    The frame of the call itself stays, and what the caller was handling when they called. If the interruption comes
    from a function that the caller has passed in, all frames stay.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as interruption:
            interruption.__context__ = None if handled is interruption else handled
            inner = interruption.__traceback__ and interruption.__traceback__.tb_next
            raise interruption.with_traceback(None if _is_ours(inner) else inner)  # noqa: B904  # it is that one itself

    return call  # type: ignore[return-value]


def _is_ours(trace: TracebackType | None) -> bool:
    """Return whether all frames belong to Esker or to the standard library."""
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] not in _OURS:
            return False
        trace = trace.tb_next
    return True
