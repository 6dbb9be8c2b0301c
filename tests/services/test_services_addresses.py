"""Where the services of an environment are, worked out from what is declared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.declare.load import load
from esker.services.addresses import Address, addresses, container_ports, declared_variables, url_without_secrets
from tests.support.projects import EMPTY, write_project

SYSTEM = "x86_64-linux"


@pytest.fixture
def found(tmp_path):
    """Give a function that returns the addresses of what a manifest declares; each port 0 is 12345."""

    def find(manifest, **variables):
        declaration = load(str(write_project(tmp_path)), EMPTY + manifest)
        ports = {
            name: port or 12345 for table in declaration.esker.services.values() for name, port in table.ports.items()
        }
        own = {"ESKER_RUNTIME_DIR": "/run/own", **{name: str(port) for name, port in ports.items()}}
        return addresses(declaration, SYSTEM, ports, declared_variables(declaration, {**variables, **own}))

    return find


def test_a_server_with_a_url(found):
    """Host and URL come from the variable that refers to the service's port, also through another variable."""
    assert found("""
[vars]
ORIGIN = "http://localhost:$WEB_PORT"
API_URL = "$ORIGIN/api"
OTHER_URL = "http://example.org/"
[services.web]
command = "serve"
[plugins.esker.services.web]
ports = { WEB_PORT = 0 }
""") == (
        Address(
            service="web",
            host="localhost",
            ports={"WEB_PORT": 12345},
            urls={"API_URL": "http://localhost:12345/api", "ORIGIN": "http://localhost:12345"},
        ),
    )


def test_postgres_by_its_own_variables(found):
    """A directory in PGHOST holds the socket; a host in PGHOST is the host."""
    declared = '[services.db]\ncommand = "x"\n[plugins.esker.services.db]\nports = { PGPORT = 0 }\n'
    in_directory = found('[vars]\nPGHOST = "$ESKER_RUNTIME_DIR"\n' + declared)
    assert in_directory == (Address(service="db", ports={"PGPORT": 12345}, sockets=("/run/own/.s.PGSQL.12345",)),)


def test_a_host_in_its_own_variable(found):
    """The variable beside the port says the host."""
    (db,) = found(
        '[vars]\nPGHOST = "localhost"\n[services.db]\ncommand = "x"\n'
        "[plugins.esker.services.db]\nports = { PGPORT = 0 }\n"
    )
    assert (db.host, db.sockets) == ("localhost", ())


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("postgresql:///app?host=/run/own&port=$P", "/run/own/.s.PGSQL.12345"),
        ("postgresql://%2Frun%2Fown:$P/app", "/run/own/.s.PGSQL.12345"),
        ("mysql://me@localhost:$P/app?unix_socket=/run/own/m.sock", "/run/own/m.sock"),
        ("unix:///run/own/$P.sock", "/run/own/12345.sock"),
        ("redis+unix:///run/own/$P.sock", "/run/own/12345.sock"),
    ],
)
def test_sockets_in_urls(found, url, socket):
    """The socket that a URL names is shown in the form in which it is a path."""
    (service,) = found(f'[vars]\nURL = "{url}"\n[services.s]\ncommand = "x"\n[plugins.esker.services.s]\nports.P = 0\n')
    assert service.sockets == (socket,)


def test_a_fixed_port_and_a_health_check(found):
    """A URL with the number of a fixed port belongs to the service; the host may come from the check alone."""
    web, worker = found("""
[vars]
SITE = "http://site.example:8080/"
[services.web]
command = "x"
[services.worker]
command = "x"
[services.done]
command = "x"
[plugins.esker.services.web]
ports = { PORT = 8080 }
[plugins.esker.services.worker]
ports = { WORKER = 9090 }
healthcheck = { tcp = "127.0.0.1:$WORKER" }
[plugins.esker.services.done]
type = "oneshot"
""")
    assert (web.host, web.urls) == ("site.example", {"SITE": "http://site.example:8080/"})
    assert (worker.host, worker.urls) == ("127.0.0.1", {})


def test_a_service_on_a_socket_alone(found):
    """The socket of a health check is the service's, and so is the URL that names the same."""
    (service,) = found("""
[vars]
CACHE = "unix://$ESKER_RUNTIME_DIR/c.sock"
[services.cache]
command = "x"
[plugins.esker.services.cache]
healthcheck = { unix = "$ESKER_RUNTIME_DIR/c.sock" }
""")
    assert service == Address(service="cache", sockets=("/run/own/c.sock",), urls={"CACHE": "unix:///run/own/c.sock"})


def test_what_only_bash_can_expand_is_left_out(found):
    """Such a variable, and one that refers to it, is not shown by a wrong value; nothing runs."""
    (web,) = found(
        """
[vars]
NAME = "$(touch /tmp/ran-by-urls; echo x)"
URL = "http://$NAME:$PORT/"
[services.web]
command = "x"
[plugins.esker.services.web]
ports = { PORT = 0 }
""",
        NAME="of-the-caller",
    )
    assert web == Address(service="web", ports={"PORT": 12345})


def test_a_service_in_a_container(tmp_path):
    """It is where the variable of its port says; as long as that is not known, neither is the URL."""
    declaration = load(
        str(write_project(tmp_path)),
        EMPTY
        + """
[vars]
PGHOST = "127.0.0.1"
DATABASE_URL = "postgresql://app@$PGHOST:$PGPORT/app"
[plugins.esker.compose.services.postgres]
ports = { PGPORT = 5432 }
""",
    )
    assert container_ports(declaration) == {"postgres": ("PGPORT",)}
    variables = declared_variables(declaration, {"PGPORT": "1", "HOME": "/"}, ["PGPORT"])
    assert addresses(declaration, SYSTEM, {}, variables) == (Address(service="postgres"),)
    variables = declared_variables(declaration, {"PGPORT": "12345"})
    assert addresses(declaration, SYSTEM, {"PGPORT": 12345}, variables) == (
        Address(
            service="postgres",
            host="127.0.0.1",
            ports={"PGPORT": 12345},
            urls={"DATABASE_URL": "postgresql://app@127.0.0.1:12345/app"},
        ),
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://me:secret@db:1/app", "postgres://me@db:1/app"),
        ("postgresql://me@/app?host=/run&passfile=/f&password=secret", "postgresql://me@/app?host=/run&passfile=/f"),
        ("redis://:secret@cache:6379/0", "redis://cache:6379/0"),
        ("https://secret@example.org/x?token=secret&page=2#secret", "https://example.org/x?page=2"),
        ("amqp://me:secret@[::1]:5672/%2F", "amqp://me@[::1]:5672/%2F"),
        ("postgres://me:a/secret@db/app", None),
        ("postgres://me:12/secret@db/app", None),
        ("postgres://me:a?secret@db/app", None),
        ("postgres://me:a#secret@db/app", None),
        ("postgres://me:a b@db/app", None),
        ("me:secret@db", None),
        ("secret", None),
        ("http://[secret", None),
    ],
)
def test_no_secret_is_shown(url, shown):
    """Passwords, tokens and parameters with such names are cut out; what is in doubt is not shown at all."""
    assert url_without_secrets(url) == shown


@given(st.text(st.characters(codec="utf-8"), min_size=6).filter(lambda text: text.strip("0123456789./")))
def test_no_password_of_any_form_is_shown(password):
    """Whatever stands where the password is, it does not come out again."""
    shown = url_without_secrets(f"postgres://somebody:{password}@host.example/database")
    assert shown is None or password not in shown
