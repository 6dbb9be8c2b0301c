"""The part of Esker for a project's own tests: the pytest plugin."""

from __future__ import annotations

__all__ = ["pytest_plugins"]

pytest_plugins = ("esker.testing.plugin",)  # for `pytest -p esker.testing`, where no entry point loads the plugin
