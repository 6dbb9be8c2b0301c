"""The part of Esker for a project's own tests: the name of the pytest plugin, which is the package `esker_pytest`."""

from __future__ import annotations

__all__ = ["pytest_plugins"]

pytest_plugins = ("esker_pytest",)  # for `pytest -p esker.testing`, where no entry point loads the plugin
