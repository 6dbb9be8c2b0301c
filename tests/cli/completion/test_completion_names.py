"""What the completion scripts read from the files of projects, with the real `sh` and every awk of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from esker.cli.completion.script import fixed, readers
from esker.formats.manifest import parse

AWKS = [["awk"], ["mawk"], ["gawk"], ["original-awk"], ["busybox", "awk"]]
HEAD = 'schema-version = "1.14.0"\n'


def names(kind, place, directory="", **variables):
    """Return what is printed for a kind."""
    shell, awk = readers()
    environ = {"PATH": os.environ["PATH"], "HOME": str(place / "home"), **variables}
    done = subprocess.run(
        ["sh", "-c", shell, "sh", awk, kind, str(directory)],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def write_manifest(project, text):
    (project / ".flox/env").mkdir(parents=True, exist_ok=True)
    (project / ".flox/env/manifest.toml").write_text(text)


SERVICES = {
    "tables": ("[services.api]\ncommand = 'x'\n[ services . 'worker' ]\ncommand = 'x'\n", "api worker"),
    "dotted keys": ("[services]\napi.command = 'x'\napi.vars.A = '1'\nworker.command = 'y'\n", "api worker"),
    "an inline table": ("[services]\napi = { command = 'x', vars = { B = '1' } }\n", "api"),
    "the setting": ("[services]\nauto-start = true\napi.command = 'x' # services\n", "api"),
    "what looks like a table": (
        """[hook]
on-activate = '''
[services.no]
'''
[services.api]
command = \"\"\"
[services.no]
\\\"\"\"
\"\"\"\"
[services.two]
command = '''x''''
""",
        "api two",
    ),
    "a line that ends as in DOS": ("[services.api]\r\ncommand = 'x'\r\n[services.two]\r\ncommand = 'y'\r\n", "api two"),
    "a literal text that ends in a backslash": ("[vars]\nA = '\\'\n[services.api]\ncommand = '\\'\n", "api"),
    "lists": ("[options]\nsystems = [ # [services.no]\n'x86_64-linux',\n]\n[services.api]\ncommand='x'\n", "api"),
    "health checks": (
        "[services.api]\ncommand = 'x'\n[plugins.esker.services.api.healthcheck]\ntest = ['a', '[services.no]']\n",
        "api",
    ),
}


@pytest.mark.parametrize(("text", "expected"), SERVICES.values(), ids=SERVICES)
def test_the_services_of_a_manifest(tmp_path, text, expected):
    """They are those that the parser of manifests finds."""
    write_manifest(tmp_path, HEAD + text)
    assert names("service", tmp_path) == expected.split()
    services = parse((tmp_path / ".flox/env/manifest.toml").read_text(), "manifest.toml").services
    assert sorted(services.services) == sorted(expected.split())


HOSTILE = {
    "a command": '"x$(touch RAN)"',
    "backticks": '"x`touch RAN`"',
    "quotes": "'x\"y'",
    "a single quote": '"it\'s"',
    "a line break": '"x\\ntouch RAN"',
    "an escape that could be harmless": '"x\\u0041"',
    "an option": '"--recreate"',
    "several words": '"x touch RAN"',
    "a control character": '"x\x1b[2J"',
    "letters that are no ASCII": '"größe"',
    "another direction": '"x\u202ey"',
    "an empty name": '""',
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_left_out(tmp_path, name):
    """A name that a shell could take for more than a word is no candidate; those before and after it are."""
    write_manifest(
        tmp_path, f"[services.a]\ncommand='x'\n[services.{name}]\ncommand = 'x'\n[services.z]\ncommand='x'\n"
    )
    assert names("service", tmp_path) == ["a", "z"]
    assert not (tmp_path / "RAN").exists()


BROKEN = {
    "a text without an end": "[services.a]\ncommand = '''\n[services.no]\n",
    "a list without an end": "[services.a]\ncommand = [\n[services.no]\n",
    "deep lists": f"[services.a]\ncommand = {'[' * 100_000}\n",
    "deep tables": "[services.a]\ncommand = " + "{a=" * 100_000,
    "a table without an end": "[services.a\n[services.a",
    "no sense": "[services.a]\n= = =\n}{][\n'\n\"\n\\\n",
    "zeros": "[services.a]\n\0\0 = \0\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_manifest_with_mistakes(tmp_path, text):
    """What was found before the mistake is printed; nothing hangs and nothing is said."""
    write_manifest(tmp_path, text)
    assert names("service", tmp_path)[:1] == ["a"]


def test_a_manifest_that_is_no_file(tmp_path):
    """A pipe that nobody writes to, a directory and a device are not read."""
    write_manifest(tmp_path, "")
    manifest = tmp_path / ".flox/env/manifest.toml"
    manifest.unlink()
    os.mkfifo(manifest)
    assert names("service", tmp_path) == []
    manifest.unlink()
    manifest.symlink_to("/dev/zero")
    assert names("service", tmp_path) == []
    manifest.unlink()
    manifest.mkdir()
    assert names("service", tmp_path) == []


@pytest.mark.slow
def test_a_manifest_of_any_size(tmp_path):
    """Only the first four megabytes are read."""
    write_manifest(tmp_path, "[services.a]\n" + "# x\n" * 2_000_000 + "[services.no]\n")
    assert names("service", tmp_path) == ["a"]


@pytest.mark.parametrize("awk", [awk for awk in AWKS if shutil.which(awk[0])], ids=lambda words: words[0])
def test_every_awk_reads_the_same(awk):
    """The program is written in the awk of POSIX."""
    text = HEAD + "".join(text for text, _ in SERVICES.values() if "\r" not in text)
    done = subprocess.run(
        [*awk, "-v", "what=service", fixed("names.awk")], input=text, capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["api", "worker", "two"], "")


def test_what_is_declared(tmp_path):
    """`uninstall` is offered what stands in the manifest and in pyproject.toml, by its name alone."""
    write_manifest(
        tmp_path,
        HEAD + "[install]\nhello.pkg-path = 'hello'\njq = { pkg-path = 'jq' }\n[install.curl]\npkg-path = 'curl'\n"
        "[plugins.esker.python]\nversion = '>=3.11'\nsource = ['src']\n"
        'dependencies = [\n \'starlette>=1\', # the API\n "psycopg[binary]; python_version < \\"4\\""]\n'
        "[plugins.esker.conda]\nchannels = ['conda-forge']\n"
        "dependencies = ['ruby=3.4', {spec = 'htop', systems = ['x86_64-linux']}, 'bioconda::samtools']\n",
    )
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'p'\ndependencies = ['attrs']\n[project.optional-dependencies]\nweb = ['flask']\n"
        "[dependency-groups]\ndev = ['pytest>=9', {include-group = 'x'}]\n[tool.other]\ndependencies = ['no']\n"
    )
    expected = "hello jq curl starlette psycopg ruby htop samtools attrs flask pytest"
    assert names("declared", tmp_path) == expected.split()


def test_what_is_locked(tmp_path):
    """`why` and `upgrade` are offered the packages of both locks."""
    (tmp_path / ".flox").mkdir()
    (tmp_path / ".flox/pylock.toml").write_text('[[packages]]\nname = "idna"\n\n[[packages]]\nname = "ruamel.yaml"\n')
    base = "https://channel.example/conda-forge/linux-64"
    (tmp_path / ".flox/conda.lock").write_text(
        f"packages:\n- conda: {base}/ca-certificates-2026.1.1-hbd8a1cb_0.conda\n  sha256: x\n- conda: {base}/jq-1.7-h_0.tar.bz2\n"
    )
    assert names("locked", tmp_path) == ["idna", "ruamel.yaml", "ca-certificates", "jq"]


def test_the_environment_is_the_one_that_the_command_would_take(tmp_path):
    """This directory's, or above it inside a repository; else the active one; and the one that -d names alone."""
    for name in ("top", "home/mine", "active"):
        write_manifest(tmp_path / name, f"[services.{name.replace('/', '-')}]\n")
    below = tmp_path / "top/a/b"
    below.mkdir(parents=True)
    assert names("service", below) == []
    assert names("service", below, FLOX_ENV_PROJECT=str(tmp_path / "active")) == ["active"]
    (tmp_path / "top/.git").mkdir()
    assert names("service", below, FLOX_ENV_PROJECT=str(tmp_path / "active")) == ["top"]
    assert names("service", below, "../..") == ["top"]
    assert names("service", below, "..") == []
    assert names("service", below, "~/mine", HOME=str(tmp_path / "home")) == ["home-mine"]
    assert names("service", below, "-x") == []


def test_the_list_of_environments(tmp_path, environ):
    """It is the list that `esker` keeps, without what is gone or has a name that a terminal could obey."""
    from esker.declare.known_environments import remember
    from esker.settings import Settings

    odd = "odd $(touch RAN) `x` 'y"
    for name in ("plain", odd, "escape\x1b", "back\\slash", "gone"):
        project = tmp_path / "projects" / name
        write_manifest(project, "")
        (project / ".flox/env.json").write_text(json.dumps({"name": "x", "version": 1}))
        remember(str(project), Settings(environ))
    shutil.rmtree(tmp_path / "projects/gone")
    assert names("project", tmp_path) == [str(tmp_path / "projects" / name) for name in ("plain", odd)]
    moved = tmp_path / "data"
    shutil.move(tmp_path / "home/.local/share", moved)
    assert names("project", tmp_path) == []
    assert len(names("project", tmp_path, XDG_DATA_HOME=str(moved))) == 2


def test_the_programs_of_an_environment(tmp_path):
    """`which` is offered the programs of the development environment."""
    programs = tmp_path / ".flox/run/s.x-dev/bin"
    programs.mkdir(parents=True)
    for name in ("python3.11", "jq", "a b", "$(touch RAN)"):
        (programs / name).touch()
    assert names("program", tmp_path) == ["jq", "python3.11"]
