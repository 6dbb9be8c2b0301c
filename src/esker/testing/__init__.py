"""What tests take from Esker: the pytest plugin, and fakes of the services that Esker talks to."""

__all__ = ["pytest_plugins"]

pytest_plugins = ("esker.testing.plugin",)  # pytest -p esker.testing, or its entry point
