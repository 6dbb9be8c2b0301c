"""`dataclass(frozen=True, slots=True, kw_only=True)` for modules of a warm path, without importing `dataclasses`.

Importing that takes 7 ms, with `inspect`, and making one of its classes up to 1 ms, as it compiles methods from text.
Here all classes share the same methods. Type checkers see the original, under `TYPE_CHECKING`. The functions `fields`,
`asdict` and `replace` of `dataclasses` work with these classes as well; `fields`, `as_dict` and `replaced` are quicker.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn, TypeVar

    _T = TypeVar("_T")

__all__ = ["as_dict", "dataclass", "field", "fields", "replaced"]


class _Made:
    """The default of a field that each object gets anew."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], object]) -> Any:
    """Return the default of a field that `default_factory` makes for each object."""
    return _Made(default_factory)


def dataclass(*, frozen: bool, slots: bool, kw_only: bool) -> Callable[[type[_T]], type[_T]]:
    """Return the decorator; only for classes that are all three. Their objects have no attributes but the fields."""
    assert frozen
    assert slots
    assert kw_only
    return _completed


def _completed(kind: Any) -> Any:
    annotations, defaults = dict(getattr(kind, "__record_fields__", {})), dict(getattr(kind, "__record_defaults__", {}))
    for name, annotation in kind.__annotations__.items():
        if annotation.startswith("ClassVar["):
            continue
        annotations[name] = annotation
        if name in kind.__dict__:
            defaults[name] = kind.__dict__[name]
            delattr(kind, name)
    kind.__record_fields__, kind.__record_defaults__, kind.__dataclass_fields__ = annotations, defaults, _Original()
    for name, method in _METHODS.items():
        if name not in kind.__dict__ or (name == "__hash__" and kind.__dict__[name] is None):
            setattr(kind, name, method)
    return kind


def _init(self: Any, **given: Any) -> None:
    kind = type(self)
    values = {
        name: default.make() if isinstance(default, _Made) else default
        for name, default in kind.__record_defaults__.items()
        if name not in given
    }
    values |= given
    if values.keys() != kind.__record_fields__.keys():
        missing, unknown = kind.__record_fields__.keys() - values.keys(), values.keys() - kind.__record_fields__.keys()
        what = f"needs {', '.join(sorted(missing))}" if missing else f"has no {', '.join(sorted(unknown))}"
        raise TypeError(f"{kind.__name__} {what}")
    self.__dict__.update((name, values[name]) for name in kind.__record_fields__)


def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def _eq(self: Any, other: object) -> bool:
    return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__.values()))


def _refuse(_self: object, name: str, *_: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}


class _Original:
    """The fields of a class as `dataclasses` describes them, made when somebody asks for them."""

    def __get__(self, instance: object, kind: Any) -> Mapping[str, Any]:
        import dataclasses

        described: list[tuple[str, Any, Any]] = []
        for name, annotation in kind.__record_fields__.items():
            default = kind.__record_defaults__.get(name, dataclasses.MISSING)
            of_each = isinstance(default, _Made)
            how = dataclasses.field(default_factory=default.make) if of_each else dataclasses.field(default=default)
            described.append((name, annotation, how))
        fields: Mapping[str, Any] = dataclasses.make_dataclass(
            kind.__name__, described, frozen=True, kw_only=True
        ).__dict__["__dataclass_fields__"]
        kind.__dataclass_fields__ = fields
        return fields


def fields(kind: Any) -> dict[str, tuple[str, bool]]:
    """Return the annotation of each field of a class, and whether the field has no default."""
    return {
        name: (annotation, name not in kind.__record_defaults__) for name, annotation in kind.__record_fields__.items()
    }


def replaced(value: _T, **changes: Any) -> _T:
    """Return a copy of an object in which some fields are others."""
    return type(value)(**{**value.__dict__, **changes})


def as_dict(value: Any) -> dict[str, Any]:
    """Return the fields of an object; objects of such classes within are dictionaries too, as JSON has them."""
    return {name: _plain(each) for name, each in value.__dict__.items()}


def _plain(value: Any) -> Any:
    if hasattr(type(value), "__record_fields__"):
        return as_dict(value)
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value
