"""`esker services add --container`: a Compose file, the manifest, and a password that stands in neither."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from esker.declare.validate import read_text
from esker.formats.simple_yaml import parse

pytestmark = pytest.mark.slow


@pytest.fixture
def added(esker, empty):
    """Give an empty repository to which PostgreSQL was added."""
    subprocess.run(["git", "init", "-q", "."], cwd=empty, check=True)
    done = esker("services", "add", "postgres", "--container")
    assert (done.status, done.out) == (0, ""), done.err
    for path in (".flox/cache/esker/postgres.env", ".flox/cache/esker/postgres.pgpass", "compose.yaml"):
        assert f"✔ Wrote `{empty}/{path}`\n" in done.err
    return empty


def secrets(directory):
    """Return the password files of a checkout."""
    found = (directory / ".flox/cache/esker").glob("postgres.*")
    return {file.name: file.read_text() for file in found if file.suffix in {".env", ".pgpass"}}


def test_what_is_written(added):
    """The service and its port are declared, and its password is in two files that only their owner reads."""
    assert list(parse((added / "compose.yaml").read_text())["services"]) == ["postgres"]
    _, esker = read_text((added / ".flox/env/manifest.toml").read_text())
    assert esker.compose.services["postgres"].ports == {"PGPORT": 5432}
    written = secrets(added)
    password = written["postgres.env"].removeprefix("POSTGRES_PASSWORD=").strip()
    assert len(password) >= 32
    assert written["postgres.pgpass"] == f"*:*:*:postgres:{password}\n"
    for name in written:
        assert stat.S_IMODE(os.stat(added / ".flox/cache/esker" / name).st_mode) == 0o600
    tracked = subprocess.run(
        ["git", "ls-files", "-o", "--exclude-standard"], cwd=added, check=True, capture_output=True, text=True
    ).stdout.split()
    assert "compose.yaml" in tracked
    assert not any("cache" in path for path in tracked)
    for path in tracked:
        assert password not in (added / path).read_text()


def test_another_checkout_gets_a_password_of_its_own(esker, added):
    """The same command makes the files that are missing, and changes nothing else; then it is an error again."""
    before = secrets(added)
    compose, manifest = (added / "compose.yaml").read_text(), (added / ".flox/env/manifest.toml").read_text()
    (added / ".flox/cache/esker/postgres.pgpass").unlink()
    assert esker("services", "add", "postgres", "--container").status == 0
    assert secrets(added) == before
    for name in before:
        (added / ".flox/cache/esker" / name).unlink()
    done = esker("services", "add", "postgres", "--container")
    assert done.err.startswith(f"✔ Wrote `{added}/.flox/cache/esker/postgres.env`\n")
    assert secrets(added).keys() == before.keys()
    assert secrets(added) != before
    assert (added / "compose.yaml").read_text() == compose
    assert (added / ".flox/env/manifest.toml").read_text() == manifest
    done = esker("services", "add", "postgres", "--container")
    assert done.status == 1
    assert "`postgres`" in done.err
    assert "already" in done.err


def test_a_password_file_without_a_password_is_refused(esker, added):
    """It is not replaced, since a volume may need what was there."""
    (added / ".flox/cache/esker/postgres.pgpass").unlink()
    (added / ".flox/cache/esker/postgres.env").write_text("\n")
    done = esker("services", "add", "postgres", "--container")
    assert done.status == 1
    assert "postgres.env:1: there is no password in the first line" in done.err
    assert not (added / ".flox/cache/esker/postgres.pgpass").exists()


def test_the_compose_file_that_is_there_is_used(esker, project):
    """Under the name that Compose finds, with the services that it has, and with its mode."""
    directory = project()
    (directory / "docker-compose.yml").write_text("services:\n  web:\n    image: web\n")
    (directory / "docker-compose.yml").chmod(0o640)
    assert esker("services", "add", "valkey", "redis", "--container").status == 1  # both set REDIS_URL
    assert esker("services", "add", "valkey", "--container").status == 0
    assert list(parse((directory / "docker-compose.yml").read_text())["services"]) == ["web", "valkey"]
    assert stat.S_IMODE(os.stat(directory / "docker-compose.yml").st_mode) == 0o640
    assert not (directory / "compose.yaml").exists()


def test_paths_are_those_of_the_compose_file(esker, project):
    """A Compose file in a directory of its own leads to the project from there."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.compose]\nfile = "deploy/compose.yaml"\n')
    (directory / "deploy").mkdir()
    assert esker("services", "add", "postgres", "nginx", "--container").status == 0
    services = parse((directory / "deploy/compose.yaml").read_text())["services"]
    assert services["postgres"]["env_file"] == ["../.flox/cache/esker/postgres.env"]
    assert services["nginx"]["volumes"] == ["../public:/usr/share/nginx/html:ro"]


@pytest.mark.parametrize(
    ("lay_out", "message"),
    [
        (lambda path: path.write_text("services: {}\n"), "compose.yaml:1: this Compose file is laid out in a way"),
        (lambda path: path.write_bytes(b"\n\xff"), "compose.yaml:2: the file is not UTF-8"),
        (lambda path: path.symlink_to("/etc/passwd"), "compose.yaml` is a link"),
        (lambda path: path.mkdir(), "compose.yaml`: it is not a regular file"),
        (lambda path: path.write_bytes(b"# \n" * 400_000), "compose.yaml`: it has more than 1 MiB"),
        (os.mkfifo, "compose.yaml`: it is not a regular file"),
    ],
)
def test_a_compose_file_that_cannot_be_edited_changes_nothing(esker, project, lay_out, message):
    """Neither the manifest nor a password is written, and the error says what is in the way."""
    directory = project()
    lay_out(directory / "compose.yaml")
    before = (directory / ".flox/env/manifest.toml").read_text()
    done = esker("services", "add", "postgres", "--container")
    assert done.status == 1
    assert message in done.err
    assert (directory / ".flox/env/manifest.toml").read_text() == before
    assert secrets(directory) == {}


def test_a_failure_takes_all_files_back(esker, project):
    """If the manifest cannot be written, neither Compose file nor password stays."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["missing-package"]\n')
    done = esker("services", "add", "postgres", "--container")
    assert done.status == 1
    assert "missing-package" in done.err
    assert not (directory / "compose.yaml").exists()
    assert secrets(directory) == {}


def test_a_cache_that_git_does_not_ignore_is_ignored(esker, project):
    """An environment whose own .gitignore does not speak of its cache gets a line in the project's."""
    directory = project()
    subprocess.run(["git", "init", "-q", "."], cwd=directory, check=True)
    assert esker("services", "add", "postgres", "--container").status == 0
    assert ".flox/cache/\n" in (directory / ".gitignore").read_text()


def test_mariadb_is_had_in_a_container_alone(esker, project):
    """Without the option the error names it."""
    project()
    done = esker("services", "add", "mariadb")
    assert done.status == 2
    assert "no wheel and no conda package has the server of MariaDB" in done.err
    assert "esker services add mariadb --container" in done.err
    assert esker("services", "add", "mariadb", "--container").status == 0
