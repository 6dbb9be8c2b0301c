"""A function made to run inside a context, whatever kind of function it is and whoever holds it already.

Task runners keep the function that they are given when a file is read. Angreal marks it with the attribute `__command`
and calls that very object later, so a decorator that is applied afterwards would be passed over. Such a function stays
the object that it is and gets another body: a copy keeps the old one, and the new one calls the wrapper of the copy.
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
    """What a function can run in: both kinds of context manager in one."""


def decorated(function: F, context: Callable[[], Context]) -> F:
    """Return `function` such that each call runs inside a new `context()`.

    A coroutine, generator or asynchronous generator function stays one, and its body runs inside until it ends.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorated(function.__func__, context))
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"only functions can be decorated, and {function!r} is none")
    registered = _registered(function)
    if registered is None:
        return _wrapper(function, context)  # type: ignore[return-value]
    _exchange_body(registered, _wrapper(_copy(registered), context))
    return function


def defining_directory(function: Callable[..., Any]) -> str | None:
    """Return the directory of the file that defines `function`, or None when nobody can know it.

    Angreal runs task files without telling Python their names; they lie in the directory that it calls the root.
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
    """Return a plain function, on which decorators can set attributes and which is a method in a class."""
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
    """Return the wrapper of an asynchronous generator, which hands on what is sent and thrown into it."""

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
                except BaseException as error:  # noqa: BLE001 - what is thrown in goes on to the body
                    step = inner.athrow(error)

    return items


def _registered(function: Callable[..., Any]) -> FunctionType | None:
    """Return the function that Angreal holds: the innermost with its mark, which `functools.wraps` copies outwards."""
    found: Callable[..., Any] | None = None
    link: Callable[..., Any] | None = function
    while link is not None:
        if _REGISTERED in getattr(link, "__dict__", {}):
            found = link
        link = getattr(link, "__wrapped__", None)
    if found is None or isinstance(found, FunctionType):
        return found
    raise TypeError(f"{found!r} is registered as a task already; apply this decorator below `@angreal.command`")


def _copy(function: FunctionType) -> FunctionType:
    """Return a function of the same body, without the marks that task runners have left on this one."""
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
    """Let `function` call `wrapper`, as the same object."""

    def body(*args: Any, **kwargs: Any) -> Any:
        target: Any = "target"
        return target(*args, **kwargs)

    code = function.__code__
    function.__code__ = body.__code__.replace(
        co_consts=tuple(wrapper if constant == "target" else constant for constant in body.__code__.co_consts),
        co_freevars=code.co_freevars,  # as many as the function has cells, though the new body uses none
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )
    function.__wrapped__ = wrapper  # type: ignore[attr-defined]  # for inspect.signature
