"""`NamedTuple` for modules of a warm path: that of `typing`, without importing `typing`.

Importing `typing` takes 3 ms with the regular expressions that it needs, and making one of its classes takes 0.1 ms.
Type checkers see the original, under `TYPE_CHECKING`.
"""

from __future__ import annotations

from _operator import itemgetter  # `operator` itself has to be found and read, which takes 0.3 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["NamedTuple"]


class NamedTuple(tuple):  # type: ignore[type-arg] # noqa: SLOT001 - subclasses have no slots either, as they may have properties
    """A tuple whose elements have names: the annotations of the class, in their order, with defaults."""

    _fields: tuple[str, ...] = ()
    __match_args__: tuple[str, ...] = ()
    _defaults: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        cls.__match_args__ = cls._fields  # type: ignore[misc]
        cls._defaults = {name: cls.__dict__[name] for name in cls._fields if name in cls.__dict__}
        for index, name in enumerate(cls._fields):
            setattr(cls, name, property(itemgetter(index)))

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Return a tuple of the values; those that are missing are the defaults."""
        if named or len(values) != len(cls._fields):
            given = dict(zip(cls._fields, values, strict=False))
            if len(values) > len(cls._fields) or given.keys() & named.keys() or named.keys() - set(cls._fields):
                raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}, and each once")
            merged = {**cls._defaults, **given, **named}
            if missing := [name for name in cls._fields if name not in merged]:
                raise TypeError(f"{cls.__name__} needs {', '.join(missing)}")
            values = tuple(merged[name] for name in cls._fields)
        return tuple.__new__(cls, values)

    def _replace(self, **named: Any) -> Self:
        return type(self)(**{**dict(zip(self._fields, self, strict=True)), **named})

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        pairs = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(pairs)})"
