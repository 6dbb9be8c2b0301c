"""A registry that fails: what is tried again, what is gone on with, and what is refused, each with its message."""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from esker.errors import CommandFailed, ImageError, InvalidFile, RegistryError
from esker.formats.oci.documents import describe
from esker.formats.oci.reference import parse
from esker.ship.image.blobs import Blobs
from esker.ship.image.registry.client import Registry, Request
from esker.ship.image.registry.credentials import Credentials, credentials_of, find_login
from esker.ship.image.registry.push import push
from esker.ship.image.registry.repository import Repository
from tests.support.fake_registry import FakeRegistry, Fault
from tests.support.images import builder, image

NOBODY = Credentials("/nonexistent/config.json", {})
DATA = bytes(range(256)) * 40_000  # more than what is sent in one request


@pytest.fixture
def server():
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def blobs(tmp_path):
    """Give a directory with one blob, and its descriptor."""
    blobs = Blobs(str(tmp_path / "blobs"))
    blobs.add(DATA)
    return blobs, describe(DATA, "application/octet-stream")


@pytest.fixture
def ask():
    """Give a function that asks a host; the connections end with the test."""
    with ExitStack() as stack:
        yield lambda host, credentials=NOBODY, pause=lambda _: None: stack.enter_context(
            Registry(host, credentials, pause=pause)
        )


@pytest.fixture
def repository(ask):
    """Give a function that asks a server for one repository, and keeps the pauses that it makes."""

    def made(server, pauses=None):
        pause = (lambda _: None) if pauses is None else pauses.append
        return Repository(ask(server.host, pause=pause), "app", push=True)

    return made


def sent(server):
    """Return the methods of the requests that brought data."""
    return [request.split()[0] for request in server.requests() if request.startswith(("PUT", "PATCH"))]


@pytest.mark.parametrize("cut", [0, 1, 2, 5000, len(DATA) - 1, len(DATA)])
def test_an_upload_whose_connection_ends_goes_on_where_it_was(server, blobs, cut, repository):
    """The registry is asked how much it has, and the rest is sent."""
    server.faults.append(Fault("PATCH", "/uploads/", cut=cut))
    repository(server).upload(blobs[1], blobs[0])
    assert server.blobs["app", blobs[1].digest] == DATA
    assert sent(server) == (["PATCH", "PUT"] if cut == len(DATA) else ["PATCH", "PATCH", "PUT"])


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_small_blob_is_sent_once_more(server, tmp_path, cut, repository):
    """In one request, because a registry need not keep a part of that."""
    blobs = Blobs(str(tmp_path))
    blobs.add(b"x" * 20)
    blob = describe(b"x" * 20, "application/octet-stream")
    server.faults.append(Fault("PUT", "/uploads/", cut=cut))
    repository(server).upload(blob, blobs)
    assert server.blobs["app", blob.digest] == b"x" * 20
    assert sent(server) == ["PUT", "PUT"]


def test_an_upload_that_ends_again_and_again_is_given_up(server, blobs, repository):
    """After five attempts the error says so, and that it was the connection."""
    server.faults += [Fault("PATCH", "/uploads/", cut=10)] * 5
    pauses = []
    with pytest.raises(RegistryError, match=f"`http://{server.host}` could not be reached"):
        repository(server, pauses).upload(blobs[1], blobs[0])
    assert len(pauses) == 4
    assert pauses == sorted(pauses)


def test_an_upload_that_the_registry_has_forgotten_begins_anew(server, blobs, repository):
    """Without the bytes that were sent before."""
    server.faults.append(Fault("PATCH", "/uploads/", cut=100))
    server.faults.append(Fault("GET", "/uploads/", status=404))
    repository(server).upload(blobs[1], blobs[0])
    assert server.blobs["app", blobs[1].digest] == DATA


def test_a_registry_that_takes_no_large_body_gets_pieces(server, blobs, monkeypatch, repository):
    """Each piece says where it belongs; the last one ends the upload."""
    monkeypatch.setattr("esker.ship.image.registry.repository._PIECE", 3_500_000)
    server.faults.append(Fault("PATCH", "/uploads/", status=413, largest=3_500_000))
    repository(server).upload(blobs[1], blobs[0])
    assert server.blobs["app", blobs[1].digest] == DATA
    assert sent(server) == ["PATCH", "PATCH", "PATCH", "PATCH", "PUT"]


def test_a_piece_whose_connection_ends_is_sent_from_where_it_was(server, blobs, monkeypatch, repository):
    """Pieces and broken connections go together."""
    monkeypatch.setattr("esker.ship.image.registry.repository._PIECE", 3_500_000)
    server.faults.append(Fault("PATCH", "/uploads/", status=413, largest=3_500_000))
    server.faults.append(Fault("PATCH", "/uploads/", cut=1234))
    repository(server).upload(blobs[1], blobs[0])
    assert server.blobs["app", blobs[1].digest] == DATA


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_registry_is_asked_again(server, tmp_path, status, ask):
    """Whatever the request is; in the end everything is there."""
    server.faults += [Fault(method, "/v2/", status=status) for method in ("GET", "HEAD", "POST", "PUT", "PUT")]
    made = builder(tmp_path)
    registry = ask(server.host)
    pushed = push(parse(f"{server.host}/app:1"), [image(made)], made, registry)
    assert server.faults == []
    assert ("app", pushed.digest) in server.manifests


def test_a_registry_is_given_the_time_that_it_asks_for(server, repository):
    """Up to a minute."""
    pauses = []
    server.faults += [Fault("GET", "/v2/", 429, {"Retry-After": text}) for text in ("7", "99999", "x")]
    assert repository(server, pauses).manifest("1") is None
    assert pauses[:2] == [7, 60]
    assert 0 < pauses[2] < 5


def test_a_registry_that_stays_overloaded_is_given_up(server, repository):
    """The message has the status, and what the registry said."""
    server.faults += [Fault("GET", "/v2/", 503)] * 5
    with pytest.raises(RegistryError, match="refused `GET /v2/app/manifests/1`: 503") as caught:
        repository(server).manifest("1")
    assert caught.value.status == 503


def test_a_refusal_is_no_reason_to_ask_again(server, blobs, repository):
    """A status that will be the same the next time is an error at once."""
    server.faults.append(Fault("POST", "/uploads/", status=403))
    with pytest.raises(RegistryError, match="403") as caught:
        repository(server).upload(blobs[1], blobs[0])
    assert caught.value.hint == f"there is no login for it: docker login {server.host}"
    assert len(server.requests()) == 1


def test_a_registry_that_is_not_there_is_named(ask):
    """With a hint at what may be the reason."""
    with FakeRegistry() as server:
        host = server.host
    with pytest.raises(RegistryError, match=f"`http://{host}` could not be reached") as caught:
        Repository(ask(host), "app").manifest("1")
    assert "proxy" in caught.value.hint


def test_a_download_whose_connection_ends_begins_again(server, tmp_path, ask):
    """What had come is dropped."""
    made = builder(tmp_path)
    its = image(made)
    registry = ask(server.host)
    push(parse(f"{server.host}/app:1"), [its], made, registry)
    layer = its.layers[0].descriptor
    server.faults.append(Fault("GET", layer.digest, cut=7))
    with Blobs(str(tmp_path / "other")).adding(layer) as blob:
        Repository(registry, "app").blob(layer, blob.write, blob.restart)
    assert blob.digest == layer.digest


def test_a_redirect_gets_no_credentials(tmp_path, ask):
    """A blob may lie elsewhere; the place learns nothing of the login."""
    with FakeRegistry() as place, FakeRegistry(login="user:password") as server:
        made = builder(tmp_path / "blobs")
        its = image(made)
        made.provide([its])
        layer = its.layers[0].descriptor
        place.blobs["app", layer.digest] = Path(made.blobs.path(layer.digest)).read_bytes()
        location = f"http://{place.host}/v2/app/blobs/{layer.digest}"
        server.faults.append(Fault("GET", layer.digest, 307, {"Location": location}))
        place.login = "nobody:x"  # it asks for a login, which it must not get
        with pytest.raises(RegistryError, match="401"):
            Repository(ask(server.host, logins(tmp_path, server)), "app").small_blob(layer)
        place.login = ""
        server.faults.append(Fault("GET", layer.digest, 307, {"Location": location}))
        assert Repository(ask(server.host, logins(tmp_path, server)), "app").small_blob(layer)


def test_a_redirect_to_a_place_without_encryption_is_refused(server, blobs, repository):
    """But for this machine."""
    server.faults.append(Fault("GET", "/blobs/", 307, {"Location": "http://files.example/x"}))
    with pytest.raises(
        RegistryError, match=r"leads to an address without encryption: `http://files\.example`"
    ) as caught:
        repository(server).small_blob(blobs[1])
    assert "X-Forwarded-Proto" in caught.value.hint


def test_plain_http_is_for_this_machine_alone():
    """Every other registry is asked by https."""
    origins = {
        host: Registry(host, NOBODY).origin
        for host in ("localhost:5000", "127.0.0.2", "[::1]:5", "registry.example:80")
    }
    assert origins == {
        "localhost:5000": "http://localhost:5000",
        "127.0.0.2": "http://127.0.0.2",
        "[::1]:5": "http://[::1]:5",
        "registry.example:80": "https://registry.example:80",
    }


def logins(tmp_path, server, **config):
    """Return credentials of a file in which `docker login` has been at a registry, or with another content."""
    encoded = base64.b64encode(b"user:password").decode()
    content = config or {"auths": {server.host: {"auth": encoded}}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    return Credentials(str(tmp_path / "config.json"), {"PATH": f"{tmp_path}:{os.environ['PATH']}"})


@pytest.mark.parametrize("token", [False, True])
def test_the_login_of_docker_is_used(tmp_path, token, ask):
    """By name and password, or for a token, which is asked for once for each right."""
    with FakeRegistry(login="user:password", token=token) as server:
        made = builder(tmp_path / "blobs")
        registry = ask(server.host, logins(tmp_path, server))
        pushed = push(parse(f"{server.host}/app:1"), [image(made)], made, registry)
        assert ("app", pushed.digest) in server.manifests
        assert server.tokens == (["repository:app:pull,push"] if token else [])


@pytest.mark.parametrize("token", [False, True])
def test_who_is_not_logged_in_is_told_how(tmp_path, token, ask):
    """Both where no login is kept and where it is the wrong one."""
    with FakeRegistry(login="user:other", token=token) as server:
        for credentials, why in (
            (NOBODY, "" if token else "there is no login for it: "),
            (logins(tmp_path, server), "log in again: "),
        ):
            with pytest.raises(RegistryError) as caught:
                Repository(ask(server.host, credentials), "app").manifest("1")
            assert caught.value.hint == f"{why}docker login {server.host}"
            assert caught.value.status == 401
            assert "password" not in str(caught.value)


def test_a_login_without_the_right_is_told_so(tmp_path, ask):
    """It is a login that the registry takes."""
    with FakeRegistry(login="user:password") as server:
        server.faults.append(Fault("GET", "/v2/app/manifests/2", status=403))
        repository = Repository(ask(server.host, logins(tmp_path, server)), "app")
        assert repository.manifest("1") is None
        with pytest.raises(RegistryError) as caught:
            repository.manifest("2")
        assert caught.value.hint == f"this login may not do that: docker login {server.host}"


@pytest.mark.parametrize("realm", ["http://auth.example/token", "file:///etc/passwd", "http://[::1/x", ""])
def test_a_login_is_not_sent_to_any_realm(tmp_path, server, realm, ask):
    """Without encryption only this machine gets it; other kinds of addresses are no realm."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
    server.faults.append(Fault("GET", "/v2/", 401, challenge))
    with pytest.raises(RegistryError, match=r"without encryption|no address where a token"):
        Repository(ask(server.host, logins(tmp_path, server)), "app").manifest("1")


def helper(tmp_path, script):
    program = tmp_path / "docker-credential-keys"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    "config", [{"credsStore": "keys"}, {"credHelpers": {"registry.example": "keys"}}], ids=["store", "helper"]
)
def test_a_helper_is_asked(tmp_path, config):
    """It gets the registry, and gives user and password."""
    helper(tmp_path, 'read host; echo "{\\"Username\\": \\"$1\\", \\"Secret\\": \\"$host\\"}"')
    login = find_login("registry.example", logins(tmp_path, None, **config))
    assert (login.user, login.password) == ("get", "registry.example")


def test_a_helper_may_have_nothing_or_a_token(tmp_path):
    """Both are no error."""
    config = logins(tmp_path, None, credsStore="keys")
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    assert find_login("registry.example", config) is None
    helper(tmp_path, """echo '{"Username": "<token>", "Secret": "abc"}'""")
    assert find_login("registry.example", config).identity_token == "abc"


def test_a_helper_that_fails_is_named(tmp_path):
    """With its own words; one that is not there, or has a name with a path, is an error of the file."""
    config = logins(tmp_path, None, credsStore="keys")
    with pytest.raises(InvalidFile, match="`docker-credential-keys`, is not on PATH"):
        find_login("registry.example", config)
    helper(tmp_path, "echo the keychain is locked >&2; exit 2")
    with pytest.raises(CommandFailed, match="`docker-credential-keys` failed: the keychain is locked"):
        find_login("registry.example", config)
    helper(tmp_path, "echo hello")
    with pytest.raises(InvalidFile, match="something that is no login"):
        find_login("registry.example", config)
    with pytest.raises(InvalidFile, match="is not the name of a helper"):
        find_login("registry.example", logins(tmp_path, None, credsStore="../evil"))


@pytest.mark.parametrize(
    "content",
    ["x", "[]", '{"auths": 1}', '{"auths": {"registry.example": {"auth": "%%"}}}', '{"credHelpers": []}'],
)
def test_a_file_of_logins_that_is_wrong_is_named(tmp_path, content):
    """With its path; what it holds is not shown."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"config\.json"):
        find_login("registry.example", Credentials(str(tmp_path / "config.json"), {}))


@pytest.mark.parametrize("name", ["https://registry.example/v1/", "registry.example", "http://registry.example"])
def test_a_registry_may_stand_there_as_an_address(tmp_path, name):
    """As old versions of Docker wrote it."""
    login = find_login("registry.example", logins(tmp_path, None, auths={name: {"auth": "dTpw"}}))
    assert (login.user, login.password) == ("u", "p")
    assert "p" not in repr(login).replace("Login", "")


def test_logins_lie_where_docker_has_them():
    """DOCKER_CONFIG, or the home."""
    assert credentials_of({"HOME": "/home/a"}).file == "/home/a/.docker/config.json"
    assert credentials_of({"HOME": "/home/a", "DOCKER_CONFIG": "/etc/d"}).file == "/etc/d/config.json"


def test_an_identity_token_is_exchanged(tmp_path, ask):
    """By OAuth2, as logins without a password are."""
    with FakeRegistry(login="user:password", token=True) as server:
        answer = base64.b64encode(b"<token>:").decode()
        config = logins(tmp_path, server, auths={server.host: {"auth": answer, "identitytoken": "id"}})
        with pytest.raises(RegistryError, match="lets nobody in with this login"):
            Repository(ask(server.host, config), "app").manifest("1")
        assert "POST /token" in server.requests()


def test_a_blob_larger_than_its_manifest_says_is_cut_off(tmp_path, server, repository):
    """Before it fills the disk."""
    from esker.ship.image.registry.pull import _fetch

    small = describe(b"x", "application/octet-stream")
    server.blobs["app", small.digest] = DATA * 3
    with pytest.raises(ImageError, match="is larger than its manifest says"):
        _fetch(repository(server), small, Blobs(str(tmp_path)))


BROKEN = "http://[::1/x"
"""What looks like an address and is none."""


def test_an_address_that_is_none_is_refused(server, blobs, repository):
    """Whether it is one to go to or one to upload to; the message has it."""
    server.faults.append(Fault("GET", "/manifests/", 307, {"Location": BROKEN}))
    with pytest.raises(RegistryError, match=r"leads to `http://\[::1/x`, which is no address"):
        repository(server).manifest("1")
    server.faults += [Fault("POST", "/uploads/", 202, {"Location": BROKEN})] * 5
    with pytest.raises(RegistryError, match="which is no address"):
        repository(server).upload(blobs[1], blobs[0])


def test_a_full_disk_is_no_reason_to_ask_again(tmp_path, server, monkeypatch, repository):
    """It is full the next time too; the message names the disk, and not the network."""
    from esker.ship.image.registry.pull import _fetch

    blob = describe(DATA, "application/octet-stream")
    server.blobs["app", blob.digest] = DATA

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ImageError, match=f"cannot write `{tmp_path}/sha256`: no space left on device"):
            _fetch(repository(server), blob, Blobs(str(tmp_path)))
    assert len(server.requests()) == 1
    assert os.listdir(tmp_path / "sha256") == []


def test_nobody_waits_for_an_answer_after_an_interruption(server, ask):
    """Requests that are under way end, and none is tried again."""
    registry, asked, waited = ask(server.host, pause=None), Event(), []
    silent = Thread(target=_be_silent, args=(listening := socket.create_server(("127.0.0.1", 0)), asked, waited))
    silent.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/x"

    def call(method):
        if method == "interrupt":
            assert asked.wait(60)
            raise KeyboardInterrupt
        registry.ask(Request(method, address, ""), {200})

    with listening, pytest.raises(KeyboardInterrupt):
        registry.together(call, ["interrupt", "GET", "PUT"], at_once=3)
    silent.join()
    assert waited == [b"", b""]  # the connections have ended, and not the server's patience


def _be_silent(listening, asked, waited):
    """Take two requests, answer none, and keep what comes after them."""
    connections = [listening.accept()[0] for _ in range(2)]
    for connection in connections:
        connection.settimeout(20)
        connection.recv(1 << 16)
    asked.set()
    for connection in connections:
        waited.append(connection.recv(1 << 16))
        connection.close()
