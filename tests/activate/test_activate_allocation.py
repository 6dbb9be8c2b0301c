from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import tempfile

import pytest

from esker import settings
from esker.activate.allocation import FIRST, LAST, allocate, allocate_also
from esker.declare.declaration import Declaration, EskerTable, ServiceTable
from esker.errors import HostError
from esker.formats.manifest import Manifest
from esker.settings import Settings
from tests.support.children import Child


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path / "home")}


def checkout(path, **ports):
    (path / ".flox").mkdir(parents=True, exist_ok=True)
    services = {f"service-{name}": ServiceTable(ports={name: port}) for name, port in ports.items()}
    return Declaration(
        project=str(path), name="app", manifest=Manifest(schema="1.14.0"), esker=EskerTable(services=services)
    )


def test_a_port_is_below_those_of_connections_and_stays(tmp_path, environ):
    """A checkout gets the same automatic ports every time, and its fixed ports are used as they are."""
    declaration = checkout(tmp_path / "p", PGPORT=0, WEB_PORT=0, FIXED=5432)
    found = allocate(declaration, Settings(environ))
    assert found["FIXED"] == 5432
    assert found["PGPORT"] != found["WEB_PORT"]
    assert all(FIRST <= found[name] <= LAST for name in ("PGPORT", "WEB_PORT"))
    assert allocate(declaration, Settings(environ)) == found


def test_without_automatic_ports_nothing_is_touched(tmp_path):
    """A checkout with fixed ports alone writes no files."""
    assert allocate(checkout(tmp_path, PORT=80), Settings({})) == {"PORT": 80}
    assert os.listdir(tmp_path / ".flox") == []


def test_files_are_for_their_owner_alone(tmp_path, environ):
    """Both files that remember ports have mode 0600, in directories with mode 0700."""
    allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))
    for path in (tmp_path / "p/.flox/cache/esker/ports.json", tmp_path / "home/.local/state/esker/ports.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_state_home_is_where_the_user_says(tmp_path):
    """XDG_STATE_HOME is used if it is an absolute path."""
    allocate(checkout(tmp_path / "p", PORT=0), Settings({"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": "x"}))
    assert (tmp_path / "state/esker/ports.json").exists()
    settings = Settings({"XDG_STATE_HOME": "state"})
    settings.uid = 987654321  # a user whom no machine knows
    with pytest.raises(HostError, match="HOME is not set"):
        allocate(checkout(tmp_path / "p", PORT=0), settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root comes into another user's home")
def test_root_makes_nothing_in_another_user_s_home(tmp_path, monkeypatch):
    """Under sudo, HOME may be the caller's: root keeps its ports in a place of its own, even if links are there."""
    monkeypatch.setattr(settings, "_ROOTS", str(tmp_path / "root"))
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    os.chown(home, 4242, 4242)
    (home / ".local").symlink_to(elsewhere)
    declaration = checkout(tmp_path / "p", PORT=0)
    for environ in ({"HOME": str(home)}, {"HOME": "/", "XDG_STATE_HOME": str(home / "state")}):
        assert allocate(declaration, Settings(environ)) == allocate(declaration, Settings(environ))
    assert list(elsewhere.iterdir()) == []
    assert os.listdir(home) == [".local"]
    assert (tmp_path / "root" / "ports.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_to_work_in_a_clone():
    """Who may not write to a checkout gets no ports there; services ask for them first, also to be looked at."""
    with tempfile.TemporaryDirectory(prefix="esker-", dir="/tmp") as directory:
        declaration = checkout(pathlib.Path(directory), PORT=0)
        os.chmod(directory, 0o755)

        def refused():
            os.setgroups([])
            os.setgid(4242)
            os.setuid(4242)
            with pytest.raises(HostError) as caught:
                allocate(declaration, Settings({"HOME": "/nonexistent"}))
            return caught.value.hint

        assert "belong to one user: work in a clone of your own" in Child(refused).result()


def test_a_port_in_use_is_not_chosen(tmp_path, environ):
    """If another program listens on the port, the checkout gets another port, and keeps it afterwards."""
    declaration = checkout(tmp_path / "p", PORT=0)
    first = allocate(declaration, Settings(environ))["PORT"]
    shutil.rmtree(tmp_path / "p/.flox/cache")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        second = allocate(declaration, Settings(environ))["PORT"]
        assert second != first
    assert allocate(declaration, Settings(environ))["PORT"] == second


def test_a_port_that_was_kept_is_not_changed_silently(tmp_path, environ):
    """A remembered port stays even if another program has taken it: the start of the service reports that."""
    declaration = checkout(tmp_path / "p", PORT=0)
    first = allocate(declaration, Settings(environ))["PORT"]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        assert allocate(declaration, Settings(environ))["PORT"] == first


def test_renewing_chooses_another(tmp_path, environ):
    """Renewing changes every automatic port, and the new ones are remembered."""
    declaration = checkout(tmp_path / "p", PORT=0)
    first = allocate(declaration, Settings(environ))["PORT"]
    second = allocate(declaration, Settings(environ), renew={"service-PORT"})["PORT"]
    assert first != second == allocate(declaration, Settings(environ))["PORT"]


def test_renewing_the_ports_of_one_service_leaves_the_others(tmp_path, environ):
    """What no variable names, a port of a container, is renewed by the container's name."""
    declaration = checkout(tmp_path / "p", PORT=0, OTHER=0)
    first = allocate(declaration, Settings(environ))
    container = allocate_also(declaration, Settings(environ), ["db:5432/tcp"])
    second = allocate(declaration, Settings(environ), renew={"service-PORT"})
    assert (second["OTHER"], second["PORT"] == first["PORT"]) == (first["OTHER"], False)
    assert allocate_also(declaration, Settings(environ), ["db:5432/tcp"]) == container
    assert allocate(declaration, Settings(environ), renew={"db"}) == second
    assert allocate_also(declaration, Settings(environ), ["other", "db:5432/tcp"])["db:5432/tcp"]


def test_a_copied_checkout_gets_its_own(tmp_path, environ):
    """A copied checkout contains the original's file of ports, which names the original, and so is not used."""
    first = allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))["PORT"]
    shutil.copytree(tmp_path / "p", tmp_path / "q")
    second = allocate(checkout(tmp_path / "q", PORT=0), Settings(environ))["PORT"]
    assert first != second
    assert allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))["PORT"] == first


def test_a_moved_checkout_keeps_its_ports(tmp_path, environ):
    """Its services may run on them; a copy that was left behind gets others."""
    found = allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))
    shutil.copytree(tmp_path / "p", tmp_path / "copy")
    (tmp_path / "p").rename(tmp_path / "moved")
    assert allocate(checkout(tmp_path / "moved", PORT=0), Settings(environ)) == found
    assert allocate(checkout(tmp_path / "copy", PORT=0), Settings(environ)) != found
    assert allocate(checkout(tmp_path / "moved", PORT=0), Settings(environ)) == found


def test_a_port_of_another_checkout_is_not_chosen(tmp_path, environ):
    """A port is reserved while its checkout exists, whether or not anything listens there."""
    first = allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))["PORT"]
    shared = tmp_path / "home/.local/state/esker/ports.json"
    shutil.rmtree(tmp_path / "p/.flox/cache")
    (tmp_path / "q/.flox").mkdir(parents=True)
    shared.write_text(json.dumps({str(first): str(tmp_path / "q")}))
    second = allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))["PORT"]
    assert second != first

    shutil.rmtree(tmp_path / "p/.flox/cache")
    shutil.rmtree(tmp_path / "q")
    assert allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))["PORT"] == first


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        '{"project": 1, "ports": 2}',
        '{"x": "y", "7": 8}',
        '{"²": "{project}", "%s": "{project}"}' % ("9" * 5000),
    ],
)
def test_damaged_memories_are_made_again(tmp_path, environ, damage):
    """If the files are damaged, the same path gives the same port again."""
    declaration = checkout(tmp_path / "p", PORT=0)
    first = allocate(declaration, Settings(environ))
    damage = damage.replace("{project}", str(tmp_path / "p"))
    (tmp_path / "p/.flox/cache/esker/ports.json").write_text(damage)
    (tmp_path / "home/.local/state/esker/ports.json").write_text(damage)
    assert allocate(declaration, Settings(environ)) == first


def test_a_place_that_refuses_is_named(tmp_path, environ):
    """If the reservation cannot be written, the error names the directory."""
    (tmp_path / "home").write_text("")
    with pytest.raises(HostError, match=r"home/\.local/state/esker"):
        allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))


def test_a_full_range_is_an_error(tmp_path, environ, monkeypatch):
    """If no port is free, that is an error, not an endless loop."""
    monkeypatch.setattr("esker.host.ports.is_free", lambda port: False)
    with pytest.raises(HostError, match="no port from 10000 to 32767 is free for `PORT`"):
        allocate(checkout(tmp_path / "p", PORT=0), Settings(environ))
