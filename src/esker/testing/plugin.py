"""The pytest plugin: the project's environment, and the services that each test asks for.

Every run of pytest loads this module. So it imports nothing that pytest has not imported, and does nothing with a
project before a test uses one of its fixtures.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.testing.active_environment import ActiveEnvironment

__all__ = ["esker_environment", "pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]

_MARKER = "esker"
_FIXTURE = "_esker_services"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the project."""
    text = "the project whose environment the tests use, relative to pytest's root (default: the nearest with a .flox)"
    parser.addini("esker_project", text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    text = f"{_MARKER}(services=[...]): run the test in the project's environment, with these services ready"
    config.addinivalue_line("markers", text)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the services of every marked test before any other fixture, of whatever scope, because it may need them."""
    for item in items:
        if _services(item) is not None and hasattr(item, "fixturenames"):
            item.fixturenames = [_FIXTURE, *item.fixturenames]


@pytest.fixture
def _esker_services(request: pytest.FixtureRequest) -> None:
    names = _services(request.node)
    assert names is not None
    environment: ActiveEnvironment = request.getfixturevalue("esker_environment")
    with _told():
        environment.start(*names)


@pytest.fixture(scope="session")
def esker_environment(pytestconfig: pytest.Config) -> Iterator[ActiveEnvironment]:
    """The project's environment, active until the last test has ended; `start("name")` starts a service until then."""
    from esker.testing.active_environment import active, find_tests_project

    with ExitStack() as stack:
        with _told():
            project = find_tests_project(str(pytestconfig.rootpath), pytestconfig.getini("esker_project"))
            environment = stack.enter_context(active(project))
        yield environment
        with _told():
            stack.close()


@contextmanager
def _told() -> Iterator[None]:
    """Fail the test with the message of an error of Esker's, without a traceback through our code."""
    from esker.errors import EskerError

    try:
        yield
    except EskerError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _services(item: pytest.Item) -> list[str] | None:
    """Return the services in the marks of a test, its class and its module; None without a mark."""
    marks = list(item.iter_markers(_MARKER))
    for mark in marks:
        services = mark.kwargs.get("services", ())
        if mark.args or mark.kwargs.keys() - {"services"} or isinstance(services, str):
            raise pytest.UsageError(f'{item.nodeid}: write the mark as `@pytest.mark.{_MARKER}(services=["NAME"])`')
    return [name for mark in marks for name in mark.kwargs.get("services", ())] if marks else None
