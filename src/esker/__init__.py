"""Esker: one declaration of a project's environment, from a laptop through CI to production."""

__version__ = "0.1.0"

__all__ = ["__version__"]
