"""The client of the random kills: writes rows into PostgreSQL and Valkey until its input ends, or reads them all.

`servers_client.py write FIRST` says each row on its output as soon as a server has acknowledged it; `read` says every
row that the servers have. A row is a line `SERVER NUMBER`. The client runs inside the environment and needs nothing
but the standard library and `psql`.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 300
"""Rows of one client at most, so that hundreds of rounds stay small."""


def main(arguments: list[str]) -> None:
    """Write or read."""
    if arguments == ["read"]:
        for server, numbers in (("postgres", _postgres_rows()), ("valkey", _valkey_rows())):
            sys.stdout.write("".join(f"{server} {number}\n" for number in numbers))
        return
    first = int(arguments[1])
    psql = subprocess.Popen(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert psql.stdin is not None
    assert psql.stdout is not None
    psql.stdin.write("set client_min_messages = error; create table if not exists rows (number bigint primary key);\n")
    with _valkey() as valkey:
        for number in range(first, first + _ROWS):
            psql.stdin.write(f"insert into rows values ({number});\n\\echo {number}\n")
            if psql.stdout.readline() != f"{number}\n":
                sys.exit("PostgreSQL has gone")
            _say(f"postgres {number}")
            valkey.write(f"SADD rows {number}\r\n".encode())
            if not valkey.readline().startswith(b":"):
                sys.exit("Valkey has gone")
            _say(f"valkey {number}")
            if select.select([0], [], [], 0.002)[0]:
                return
    select.select([0], [], [])


def _say(row: str) -> None:
    os.write(1, f"{row}\n".encode())


def _valkey() -> IO[bytes]:
    return socket.create_connection(("127.0.0.1", int(os.environ["VALKEY_PORT"]))).makefile("rwb", buffering=0)


def _postgres_rows() -> Iterator[str]:
    text = subprocess.run(["psql", "-XAtc", "select number from rows"], capture_output=True, text=True, check=True)
    yield from text.stdout.split()


def _valkey_rows() -> Iterator[str]:
    with _valkey() as valkey:
        valkey.write(b"SMEMBERS rows\r\n")
        lines = os.fdopen(os.dup(valkey.fileno()), "rb")
        for _ in range(int(lines.readline()[1:])):  # *COUNT, then $LENGTH and the value for each
            lines.readline()
            yield lines.readline().decode().strip()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:  # a server that was killed
        sys.exit(str(error))
