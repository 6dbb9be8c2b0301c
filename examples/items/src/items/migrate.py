"""Bring the database's schema up to date: `python -m items.migrate [--create]`.

Each file of migrations/ is applied once, in the order of the file names. All new files are applied in one transaction,
so a failure leaves the database as it was. An advisory lock makes it safe that several processes migrate at once.
"""

from __future__ import annotations

import argparse
import os
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from items.settings import Settings

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["create_database", "migrate"]

MIGRATIONS = files("items").joinpath("migrations")
LOCK = 0x6974656D73  # "items" in ASCII; any number works that nothing else locks in this database


def migrate(database: str, directory: Traversable = MIGRATIONS) -> list[str]:
    """Apply the files that have not been applied yet, and return their names."""
    migrations = sorted(
        (file for file in directory.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    with psycopg.connect(database) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())"
        )
        applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
        new = [file for file in migrations if file.name not in applied]
        for file in new:
            connection.execute(file.read_bytes())
            connection.execute("INSERT INTO migrations (name) VALUES (%s)", [file.name])
    return [file.name for file in new]


def create_database(server: str, name: str) -> bool:
    """Create the database `name` unless it exists; return whether it was created."""
    with psycopg.connect(server, dbname="postgres", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
            return False
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return True


def main() -> None:
    """Migrate the database, and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m items.migrate", description="Bring the schema up to date.")
    parser.add_argument("--create", action="store_true", help="create the database first if it is missing")
    create = parser.parse_args().create
    database = Settings.from_environment(os.environ).database
    if create and create_database(database, os.environ["PGDATABASE"]):
        print("created the database")
    for name in migrate(database):
        print(f"applied {name}")


if __name__ == "__main__":
    main()
