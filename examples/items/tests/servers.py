"""PostgreSQL and Valkey for the tests: servers that already run, or our own, started from the programs on PATH.

Our own servers listen only on Unix sockets, in a directory with a short name: the path of a socket may have at most
107 bytes, and the path of a clone may be long. They stop when the tests end; if the tests are killed, the kernel stops
them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Servers", "running", "started"]

PROJECT = Path(__file__).parents[1]
NOBODY = 65534
USER = "items"
TIMEOUT = 30.0  # seconds to start or to stop


@dataclass(frozen=True)
class Servers:
    """The addresses of the two servers."""

    variables: Mapping[str, str]
    """PGHOST, PGPORT, PGUSER and VALKEY_URL, which the project's programs read."""

    @property
    def postgres(self) -> str:
        """Return a libpq connection string without the name of a database."""
        return "host={PGHOST} port={PGPORT} user={PGUSER}".format(**self.variables)

    @property
    def cache(self) -> str:
        """Return Valkey's URL."""
        return self.variables["VALKEY_URL"]

    def postgres_answers(self) -> bool:
        """Return whether PostgreSQL accepts a connection of ours."""
        try:
            psycopg.connect(self.postgres, dbname="postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def cache_answers(self) -> bool:
        """Return whether Valkey answers."""
        try:
            with valkey.Valkey.from_url(self.cache, socket_timeout=2) as client:
                return bool(client.ping())
        except valkey.ValkeyError:
            return False

    def drop(self, database: str) -> None:
        """Drop a database if it exists, even if somebody is connected to it."""
        with psycopg.connect(self.postgres, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def forget(self, prefix: str) -> None:
        """Delete the keys that begin with `prefix`."""
        with valkey.Valkey.from_url(self.cache) as client:
            for key in client.scan_iter(f"{prefix}*"):
                client.delete(key)


def running(environment: Mapping[str, str]) -> Servers | None:
    """Return the servers that `environment` names, if it names both and both answer.

    Default ports do not count: another project's server might listen there.
    """
    names = ("PGHOST", "PGPORT", "PGUSER", "VALKEY_URL")
    if not all(name in environment for name in names):
        return None
    servers = Servers({name: environment[name] for name in names})
    return servers if servers.postgres_answers() and servers.cache_answers() else None


@contextmanager
def started() -> Iterator[Servers]:
    """Start both servers and yield their addresses; both have stopped after the block."""
    for program in ("initdb", "postgres", "valkey-server"):
        if shutil.which(program) is None:
            message = f"`{program}` is not on PATH\nhint: run the tests in the environment: see README.md"
            raise RuntimeError(message)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="items-", dir="/tmp"))  # TMPDIR may be long
        socket, data = f"{directory}/valkey.sock", f"{directory}/data"
        servers = Servers({"PGHOST": directory, "PGPORT": "5432", "PGUSER": USER, "VALKEY_URL": f"unix://{socket}"})
        words = _words_before(directory)

        initdb = ["initdb", "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run([*words, *initdb], check=True, stdout=subprocess.DEVNULL)
        postgres = ["postgres", "-D", data, "-k", directory, "-p", "5432", "-c", "listen_addresses=", "-F"]
        stack.enter_context(_server([*words, *postgres], f"{directory}/postgres.log", servers.postgres_answers))
        cache = ["valkey-server", "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", ""]
        stack.enter_context(_server([*words, *cache], f"{directory}/valkey.log", servers.cache_answers))
        yield servers


def _words_before(directory: str) -> list[str]:
    """Return the words to put before a server's command, so that it ends with us and does not run as root.

    PostgreSQL refuses to run as root. Servers that root starts run as the owner of the project, or as nobody if root
    owns it, and `directory` is given to that user. If the user cannot enter the project or run the programs, as in a
    clone below /root, the servers run in a user namespace that shows them another user. That satisfies PostgreSQL but
    protects nothing, because the servers still have root's rights.
    """
    ends_with_us = ["setpriv", "--pdeathsig=INT"] if shutil.which("setpriv") else []
    if os.geteuid() != 0:
        return ends_with_us
    owner = PROJECT.stat()
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid != 0 else (NOBODY, NOBODY)
    user = [*ends_with_us, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    enter = ["sh", "-c", 'cd "$0" && postgres --version && valkey-server --version', str(PROJECT)]
    if subprocess.run([*user, *enter], capture_output=True, check=False).returncode == 0:
        os.chown(directory, uid, gid)
        return user
    namespace = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    attempt = subprocess.run([*namespace, "true"], capture_output=True, text=True, check=False)
    if attempt.returncode != 0:
        message = (
            f"uid {uid} cannot enter `{PROJECT}` or run `postgres`, and user namespaces are refused: {attempt.stderr}"
            "hint: run the tests as an ordinary user, or in a clone that everybody may enter, such as below /srv"
        )
        raise RuntimeError(message)
    return [*namespace, *ends_with_us]


@contextmanager
def _server(command: list[str], log: str, answers: Callable[[], bool]) -> Iterator[None]:
    """Run a server during the block, which begins when the server answers; after the block it has stopped."""
    with open(log, "wb") as output:  # in a session of its own: Ctrl-C stops the tests, and the tests stop the server
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"`{' '.join(command)}` does not answer:\n{Path(log).read_text(errors='replace')}"
                raise RuntimeError(message)
            time.sleep(0.01)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # tells PostgreSQL not to wait for its clients
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
