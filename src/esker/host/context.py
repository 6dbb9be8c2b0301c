"""`contextmanager` and `suppress` for modules of a warm path: those of `contextlib`, without importing `contextlib`.

Importing it takes 3 ms with `collections` and `functools`, which it needs. Type checkers see the originals, under
`TYPE_CHECKING`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Any

__all__ = ["contextmanager", "suppress"]

_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


class suppress:  # noqa: N801 - the name of the original
    """A block that ends without an error if one of these exceptions is raised in it."""

    def __init__(self, *exceptions: type[BaseException]) -> None:
        self._exceptions = exceptions

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._exceptions)


class _Block:
    """A block around which a generator runs: up to its `yield` before, and from there on after."""

    def __init__(self, generator: Generator[Any, None, None]) -> None:
        self._generator = generator

    def __enter__(self) -> Any:
        for value in self._generator:
            return value
        raise RuntimeError("the generator has not yielded")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is None or error is None:
            for _ in self._generator:
                raise RuntimeError("the generator has yielded twice")
            return False
        try:
            self._generator.throw(error)
        except StopIteration as end:  # the generator has dealt with the error, unless this is the error itself
            return end is not error
        except BaseException as raised:
            # Python turns a StopIteration that leaves a generator into a RuntimeError.
            if raised is not error and not (isinstance(error, StopIteration) and raised.__cause__ is error):
                raise
            error.__traceback__ = trace
            return False
        raise RuntimeError("the generator has yielded twice")


def contextmanager(function: Callable[..., Generator[Any, None, None]]) -> Callable[..., _Block]:
    """Return a function whose result is a block, given one that yields once: what `with` binds to its name."""

    def block(*arguments: Any, **named: Any) -> _Block:
        return _Block(function(*arguments, **named))

    for name in _NAMES:
        setattr(block, name, getattr(function, name))
    block.__wrapped__ = function  # type: ignore[attr-defined]
    return block
