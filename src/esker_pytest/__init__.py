"""Esker's pytest plugin: the project's environment, and the services that each test asks for.

Esker copies this package into every environment that locks pytest, and an installed Esker brings it too. So it needs
Python 3.9 and the standard library alone, and lets the `esker` command do the work (docs/reference/testing.md).

Every run of pytest loads this module. It imports nothing that pytest has not imported, and does nothing with a project
before a test uses one of its fixtures.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack, contextmanager

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker_pytest.active_environment import ActiveEnvironment

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
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the services of every marked test before any other fixture, of whatever scope, because it may need them.

    Raises UsageError, which names every wrong mark. In a worker of pytest-xdist it would be lost, and break the run:
    there each test with a wrong mark fails.
    """
    wrong = _wrong_marks(items)
    if wrong and not hasattr(config, "workerinput"):
        raise pytest.UsageError(*wrong)
    for item in items:
        if item.get_closest_marker(_MARKER) is not None and hasattr(item, "fixturenames"):
            item.fixturenames = [_FIXTURE, *item.fixturenames]


@pytest.fixture
def _esker_services(request: pytest.FixtureRequest) -> None:
    if wrong := _wrong_marks([request.node]):
        raise pytest.fail.Exception("\n".join(wrong), pytrace=False)
    names = [name for mark in request.node.iter_markers(_MARKER) for name in mark.kwargs.get("services", ())]
    environment: ActiveEnvironment = request.getfixturevalue("esker_environment")
    with _told():
        environment.start(*names)


@pytest.fixture(scope="session")
def esker_environment(pytestconfig: pytest.Config) -> Iterator[ActiveEnvironment]:
    """The project's environment, active until the last test has ended; `start("name")` starts a service until then."""
    from esker_pytest.active_environment import active

    with ExitStack() as stack:
        with _told():
            environment = stack.enter_context(active(str(pytestconfig.rootpath), pytestconfig.getini("esker_project")))
        yield environment
        with _told():
            stack.close()


@contextmanager
def _told() -> Iterator[None]:
    """Fail the test with the message of an error of Esker's, without a traceback through our code."""
    from esker_pytest.errors import EskerError

    try:
        yield
    except EskerError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _wrong_marks(items: list[pytest.Item]) -> list[str]:
    """Return what is wrong with the marks of tests, their classes and modules; a mark is named with its first test."""
    wrong = {}
    for item in items:
        for mark in item.iter_markers(_MARKER):
            if not _makes_sense(mark) and id(mark) not in wrong:
                given = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
                wrong[id(mark)] = (
                    f'{item.nodeid}: write the mark as `@pytest.mark.{_MARKER}(services=["NAME"])`, '
                    f"not `@pytest.mark.{_MARKER}({', '.join(given)})`"
                )
    return list(wrong.values())


def _makes_sense(mark: pytest.Mark) -> bool:
    services = mark.kwargs.get("services", ())
    is_list = isinstance(services, Collection) and not isinstance(services, (str, bytes))
    return (
        is_list and not mark.args and mark.kwargs.keys() <= {"services"} and all(isinstance(it, str) for it in services)
    )
