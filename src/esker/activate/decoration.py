"""How to make a function of any kind run inside a context, even a function that a task runner has registered already.

Task runners keep the function object that they get when a task file is read. Angreal marks it with the attribute
`__command` and calls that very object later. It would therefore never call a wrapper that a later decorator returns.
So a registered function stays the same object and gets a new body. The old body moves to a copy, and the new body calls
a wrapper of this copy.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

__all__ = ["Context", "decorated", "defining_directory"]

_REGISTERED = "__command"

F = TypeVar("F", bound="Callable[..., Any]")


class Context(AbstractContextManager[object], AbstractAsyncContextManager[object], Protocol):
    """A context that a function can run in: it works with `with` and with `async with`."""


def decorated(function: F, context: Callable[[], Context]) -> F:
    """Return `function`, changed so that each call runs inside a new `context()`.

    Coroutine functions, generator functions and asynchronous generator functions keep their kind. Their body runs
    inside the context until it ends.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorated(function.__func__, context))
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"only functions can be decorated, and {function!r} is not a function")
    registered = _registered(function)
    if registered is None:
        return _wrapper(function, context)  # type: ignore[return-value]
    _exchange_body(registered, _wrapper(_copy(registered), context))
    return function


def defining_directory(function: Callable[..., Any]) -> str | None:
    """Return the directory of the file that defines `function`, or None if it cannot be known.

    Angreal runs task files without telling Python their names, but they are all in the directory it calls the root.
    """
    function = inspect.unwrap(getattr(function, "__func__", function))
    path = getattr(getattr(function, "__code__", None), "co_filename", "")
    if os.path.isfile(path):
        return os.path.dirname(os.path.abspath(path))
    angreal = sys.modules.get("angreal")
    try:
        return str(angreal.get_root()) if angreal else None
    except RuntimeError:  # not within a project of Angreal's
        return None


def _wrapper(function: Callable[..., Any], context: Callable[[], Context]) -> Callable[..., Any]:
    """Return a wrapper that runs `function` inside the context.

    It is a plain function, so that other decorators can set attributes on it and a class can have it as a method.
    """
    if inspect.isasyncgenfunction(function):
        return _items(function, context)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            async with context():
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with context():
                return (yield from function(*args, **kwargs))

        return generator

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return call


def _items(function: Callable[..., Any], context: Callable[[], Context]) -> Callable[..., AsyncIterator[Any]]:
    """Return a wrapper of an asynchronous generator function that passes on values and exceptions sent into it."""

    @functools.wraps(function)
    async def items(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with context():
            inner = function(*args, **kwargs)
            step = inner.asend(None)
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                try:
                    step = inner.asend((yield item))
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - the caller's `athrow` goes on to the body
                    step = inner.athrow(error)

    return items


def _registered(function: Callable[..., Any]) -> FunctionType | None:
    """Return the function that Angreal has registered, or None if it has registered none.

    `functools.wraps` copies Angreal's mark to outer wrappers, so the registered function is the innermost with it.
    """
    registered: Callable[..., Any] | None = None
    link: Callable[..., Any] | None = function
    while link is not None:
        if _REGISTERED in getattr(link, "__dict__", {}):
            registered = link
        link = getattr(link, "__wrapped__", None)
    if registered is None or isinstance(registered, FunctionType):
        return registered
    raise TypeError(f"{registered!r} is registered as a task already; apply this decorator below `@angreal.command`")


def _copy(function: FunctionType) -> FunctionType:
    """Return a function with the same body, but without the attributes that task runners have set."""
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    copy.__doc__, copy.__annotations__ = function.__doc__, function.__annotations__
    if hasattr(function, "__wrapped__"):
        copy.__wrapped__ = function.__wrapped__  # type: ignore[attr-defined]
    return copy


def _exchange_body(function: FunctionType, wrapper: Callable[..., Any]) -> None:
    """Give `function` a body that calls `wrapper`; it stays the same object."""

    # The new body cannot be a closure over `wrapper`, because a function's closure cannot be replaced. So the wrapper
    # is written into the code itself, as a constant in place of "target".
    def body(*args: Any, **kwargs: Any) -> Any:
        target: Any = "target"
        return target(*args, **kwargs)

    code = function.__code__
    function.__code__ = body.__code__.replace(
        co_consts=tuple(wrapper if constant == "target" else constant for constant in body.__code__.co_consts),
        co_freevars=code.co_freevars,  # as many as the function has cells; the new body uses none
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )
    function.__wrapped__ = wrapper  # type: ignore[attr-defined]  # for inspect.signature
