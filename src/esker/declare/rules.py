"""Rules of `[plugins.esker]` that one value alone cannot keep.

Each takes what could be read and the table as it was written, and yields the faults with the path below that table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from esker.formats.references import cycle
from esker.formats.typed_tables import Fault

if TYPE_CHECKING:
    from esker.declare.declaration import HealthCheck, PythonTable, ServiceTable

__all__ = [
    "FORMS",
    "no_dependency_cycle",
    "one_form",
    "one_service_a_port_variable",
    "one_source_of_dependencies",
    "oneshot_ends",
]

FORMS = ("test", "tcp", "unix", "http", "log")
"""The forms of a health check."""


def one_form(_: "HealthCheck", table: Mapping[str, Any]) -> Iterator[Fault]:
    """A health check has exactly one form, and a test that can be run."""
    forms = [form for form in FORMS if form in table]
    if not forms:
        yield Fault((), "the health check does not say what to check", "add one of test, tcp, unix, http, log")
    for form in forms[1:]:
        message = f"a health check has one form, and here `{forms[0]}` stands beside `{form}`"
        yield Fault((form,), message, "keep one of them")
    test = table.get("test")
    if test in ("", []):
        yield Fault(("test",), "the test is empty", 'write shell text, or a list of words, such as ["pg_isready"]')
    elif isinstance(test, list) and test[0] in {"CMD", "CMD-SHELL", "NONE"}:
        hint = "begin with the program; for shell text write a string" if test[0] != "NONE" else "remove the check"
        yield Fault(("test",), f"`{test[0]}` is Compose's marker, not a program", hint)


def oneshot_ends(_: "ServiceTable", table: Mapping[str, Any]) -> Iterator[Fault]:
    """A service that is done when it has ended is not started again for it."""
    if table.get("type") == "oneshot" and table.get("restart") == "always":
        yield Fault(("restart",), 'a oneshot ends, so `restart = "always"` would never let it', 'write "on-failure"')


def one_source_of_dependencies(_: "PythonTable", table: Mapping[str, Any]) -> Iterator[Fault]:
    """Wheels are listed here or in a pyproject.toml, and only that has groups."""
    if "project" in table and "dependencies" in table:
        hint = "move the dependencies into that file, or remove `project`"
        yield Fault(("dependencies",), "`dependencies` stand beside `project`, which has its own", hint)
    if "groups" in table and "project" not in table:
        hint = 'add `project = "pyproject.toml"`, or list the groups\' requirements in `dependencies`'
        yield Fault(("groups",), "`groups` are those of a pyproject.toml, and no `project` is named", hint)


def no_dependency_cycle(services: "Mapping[str, ServiceTable]", _: object) -> Iterator[Fault]:
    """No service waits for itself."""
    loop = cycle({name: service.depends_on.keys() & services.keys() for name, service in services.items()})
    if loop:
        message = f"Found a dependency cycle among services: {' → '.join(loop)}"
        yield Fault((loop[0], "depends-on"), message, "remove one of these dependencies")


def one_service_a_port_variable(services: "Mapping[str, ServiceTable]", _: object) -> Iterator[Fault]:
    """A variable holds the port of one service."""
    uses = Counter(variable for service in services.values() for variable in service.ports)
    for name, service in services.items():
        for variable in service.ports:
            if uses[variable] > 1:
                message = f"`{variable}` is a port of more than one service"
                yield Fault((name, "ports", variable), message, "give each service its own variable")
