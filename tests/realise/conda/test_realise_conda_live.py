"""Real programs from conda packages: each runs from its prefix, finds its libraries there, and changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

import pytest

from esker.realise.conda.prefix import conda_prefix
from esker.settings import Settings
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.conda_channel import CondaChannel, odd_packages
from tests.support.conda_debian import PROGRAMS, debian_packages
from tests.support.conda_package import package

pytestmark = pytest.mark.live("conda")


@pytest.fixture(scope="module")
def made():
    """Give a store and the prefix of all programs in it, at a path as short as users have it."""
    from rattler import Client

    plain = package("plain", files={"lib/python3.11/site-packages/plain.py": "A = 1\n"})
    packages = [*debian_packages(), odd_packages()["tool"], plain]
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, CondaChannel(packages) as channel:
        store = Store(f"{directory}/root", durable=False)
        settings = Settings({"PATH": os.environ["PATH"], "HOME": directory})
        with store.using():
            yield store, conda_prefix(store, "all", [*map(channel.locked, packages)], Client, settings).path


@pytest.fixture
def run(made, tmp_path):
    """Give a function that runs a shell command with the prefix on PATH, and returns what it printed."""

    def ran(command, *, fails=False):
        environ = {"PATH": f"{made[1]}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return ran


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo '{\"a\": [1]}' | jq -c .a", r"\[1\]\n"),
        ("htop --version", r"htop \d.*\n"),
        ("git init -q a && cd a && git status --short --branch", r"## No commits yet.*\n"),
        ('ruby -rjson -ropenssl -e "puts JSON.dump([OpenSSL::VERSION])"', r'\["\d.*"\]\n'),
        ("gem --version", r"\d.*\n"),
        ("make --version", r"GNU Make \d[\s\S]*"),
        ("python -c 'import ssl, sqlite3, ctypes, lzma, bz2, curses; print(1)'", r"1\n"),
        ("tool", r"tool .*/tool/main\.py\n"),
        ("pydoc3.11 abc", r"Help on module abc[\s\S]*"),
    ],
)
def test_a_program_runs(run, command, printed):
    """Programs in ELF, scripts with the prefix in their first line, wrappers and commands of Python."""
    assert re.fullmatch(printed, run(command))


def test_a_library_of_the_prefix_is_compiled_and_linked_against(run, tmp_path, made):
    """The compiler finds headers and libraries of the prefix, and what it makes finds them when it runs."""
    (tmp_path / "a.c").write_text(
        "#include <stdio.h>\n#include <zlib.h>\nint main(void) { return puts(zlibVersion()) < 0; }\n"
    )
    (tmp_path / "Makefile").write_text("a: a.c\n\ttcc -o a a.c -lz\n")
    assert re.fullmatch(r"1\.\d.*\n", run("make -s a && ./a"))
    assert f"=> {made[1]}/lib/libz.so.1" in run("ldd ./a")


def test_a_server_runs(run, tmp_path):
    """Redis starts on a socket, answers, and ends."""
    run(f"redis-server --port 0 --unixsocket {tmp_path}/s --daemonize yes --pidfile {tmp_path}/pid >/dev/null")
    ask = f"redis-cli -s {tmp_path}/s"
    assert run(f"until {ask} ping >/dev/null 2>&1; do :; done; {ask} ping") == "PONG\n"
    run(f"{ask} shutdown nosave")


def test_python_reads_no_source_of_its_library(run, made):
    """Every module of the standard library comes from byte code, although the store has changed all times."""
    modules = "json, email.message, asyncio, sysconfig, http.server, tool.main"
    said = run(f"python -v -c 'import {modules}; sysconfig.get_config_vars()' 2>&1")
    assert re.search(r"code object from '.*/asyncio/__pycache__/events\.cpython-311\.pyc'", said)
    assert re.findall(r"(?:code object from '?|bytecode is stale for )(\S*\.py)'?$", said, re.MULTILINE) == []


def test_python_changes_nothing(run, made):
    """If root imports a module without byte code, none is written into the store; and pip refuses."""
    run("python -c 'import plain, pydoc_data.topics, xmlrpc.server, multiprocessing.pool, concurrent.futures'")
    assert "esker install" in run("pip install six", fails=True)
    assert "esker install" in run("python -m pip install six", fails=True)
    assert verify(made[0]) == []


def test_no_placeholder_is_left(made):
    """Nothing in the prefix has the path that packages were made with, and everything in bin leads somewhere."""
    found = subprocess.run(
        ["grep", "-rlI", "_placehold_placehold", made[1]], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
    assert [name for name in os.listdir(f"{made[1]}/bin") if not os.path.exists(f"{made[1]}/bin/{name}")] == []
    assert set(PROGRAMS) - {"zlib", "redis"} <= {*os.listdir(f"{made[1]}/bin")}
