"""Services by one word with the real servers, for root and for an ordinary user: run with `--live services`."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults import two_users

pytestmark = [
    pytest.mark.live("services"),
    pytest.mark.slow,
    pytest.mark.skipif(bool(two_users.reason_for_none()), reason=str(two_users.reason_for_none())),
]

REGISTRIES = re.compile(r"(PIP_|UV_|SSL_CERT_|REQUESTS_CA_BUNDLE|[A-Za-z]+_(PROXY|proxy)$)")
PING = """
import os, socket
with socket.create_connection(("127.0.0.1", int(os.environ["VALKEY_PORT"]))) as server:
    server.sendall(b"%s\\r\\n")
    print(server.recv(100).decode().strip())
"""


class Owner:
    """A user with an empty directory."""

    def __init__(self, user, directory):
        self.user = user
        self.directory = directory
        self.make(directory)

    def make(self, directory):
        """Make a directory of this user's."""
        directory.mkdir()
        directory.chmod(0o755)
        self.user.owns(directory)

    def esker(self, *arguments, cwd=None):
        """Run a command, which must succeed, and return what it prints."""
        done = self.tried(*arguments, cwd=cwd)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def tried(self, *arguments, cwd=None):
        """Run a command."""
        passed = {name: value for name, value in os.environ.items() if REGISTRIES.match(name)}
        return self.user.esker(*arguments, cwd=cwd or self.directory, **passed)


@pytest.fixture(scope="module")
def machine():
    """Give a machine with users."""
    with two_users.machine() as made:
        yield made


@pytest.fixture(params=["nobody", "root"])
def owner(request, machine):
    """Give an ordinary user, who needs an account for `initdb`, and root, whose servers run as nobody."""
    uid = pwd.getpwnam(request.param).pw_uid
    home = Path(tempfile.mkdtemp(dir=machine.top))
    home.chmod(0o755)
    user = two_users.User(uid, home, machine.victim.python)
    user.owns(home)
    made = Owner(user, home / "project")
    yield made
    for directory in (made.directory, home / "second"):
        if (directory / ".flox").is_dir():
            made.tried("services", "stop", cwd=directory)
    for path in (user.runtime, user.scratch) if uid else ():
        with suppress(OSError):  # another process of this user may have something there
            path.rmdir()


def test_from_an_empty_directory_to_a_query(owner):
    """Two commands; the data stay; nobody gets in over TCP without a password; another checkout begins with a copy."""
    owner.esker("services", "add", "postgres", "valkey")
    assert "(1 row)" in owner.esker("activate", "-s", "--", "psql", "-c", "select 1")
    query = 'psql "$DATABASE_URL" -XAtqc "$0"'
    write = "create table items as select 'kept' as name; select current_database() || current_user"
    assert owner.esker("activate", "-s", "--", "sh", "-c", query, write) == "apppostgres\n"
    owner.esker("services", "start")
    assert owner.esker("activate", "--", "sh", "-c", query, "select name from items") == "kept\n"
    by_tcp = owner.tried("activate", "--", "psql", "-h", "127.0.0.1", "-w", "-c", "select 1")
    assert "no password supplied" in by_tcp.stderr
    for command, answer in (("PING", "+PONG"), ("SET a kept", "+OK")):
        assert owner.esker("activate", "--", "python", "-c", PING % command) == f"{answer}\n"

    second = owner.user.home / "second"
    owner.make(second)
    shutil.copytree(owner.directory / ".flox/env", second / ".flox/env")
    shutil.copy(owner.directory / ".flox/env.json", second / ".flox/env.json")
    shutil.copy(owner.directory / ".flox/pylock.toml", second / ".flox/pylock.toml")
    subprocess.run(["chown", "-R", f"{owner.user.uid}:{owner.user.uid}", second], check=True)
    running = owner.tried("services", "start", "--data-from", owner.directory, cwd=second)
    assert "so that its data change while they are copied" in running.stderr
    owner.esker("services", "stop")
    owner.esker("services", "start", "--data-from", owner.directory, cwd=second)
    owner.esker("services", "start")
    change = "update items set name = 'changed'; select name from items"
    assert owner.esker("activate", "--", "sh", "-c", query, change, cwd=second) == "changed\n"
    assert owner.esker("activate", "--", "sh", "-c", query, "select name from items") == "kept\n"
    assert owner.esker("activate", "--", "python", "-c", PING % "GET a", cwd=second) == "$4\nkept\n"


def test_a_first_start_that_is_cut_off_is_made_again(owner):
    """What `initdb` has left in part does not stand in the way."""
    owner.esker("services", "add", "postgres")
    data = owner.directory / ".flox/cache/postgres.new"
    owner.make(data)
    (data / "PG_VERSION").write_text("18\n")
    if owner.user.uid == 0:
        for path in (data, data / "PG_VERSION"):
            os.chown(path, 65534, 65534)
    else:
        owner.user.owns(data / "PG_VERSION")
    assert "(1 row)" in owner.esker("activate", "-s", "--", "psql", "-c", "select 1")
    assert not data.exists()
