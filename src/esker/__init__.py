"""Esker: one declaration of a project's environment, from a laptop through CI to production.

>>> from esker import Environment
>>> environment = Environment("examples/items")  # doctest: +SKIP
>>> environment.run(["pg_isready", "--version"])  # doctest: +SKIP
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["Environment", "EskerError", "__version__"]

_HOMES = {"Environment": "esker.environment", "EskerError": "esker.errors"}


def __getattr__(name: str) -> object:
    """Load a public name on first use: `import esker` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'esker' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
