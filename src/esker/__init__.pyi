# What type checkers read in place of `__init__.py`, which loads these names on first use and so imports nothing.
from esker.environment import Environment
from esker.errors import EskerError

__all__ = ["Environment", "EskerError", "__version__"]

__version__: str
