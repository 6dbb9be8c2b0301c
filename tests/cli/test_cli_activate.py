"""`esker activate` in its forms, on real processes, without a network."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys

import pytest

PYTHON = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
pytestmark = pytest.mark.slow


def test_the_command_takes_the_place_of_esker(esker, project):
    """`activate -- CMD` passes arguments, exit status and output on unchanged."""
    project()
    done = esker("activate", "--", "sh", "-c", 'printf "%s|" "$@"; echo warn >&2; exit 7', "sh", "a b", "", "--", "$x")
    assert done == (7, "a b||--|$x|", "warn\n")


def test_a_signal_ends_the_command_as_itself(esker, project):
    """If a signal ends the command, the caller sees that signal, because exec leaves no process in between."""
    project()
    assert esker("activate", "--", "sh", "-c", "kill -TERM $$").status == -signal.SIGTERM


@pytest.mark.usefixtures("served")
def test_a_missing_command_that_is_almost_a_program_has_a_suggestion(esker, project):
    """A near program of the environment is named, else a known wheel that has the program; the status stays 127."""
    project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app", "tool"]\n')
    done = esker("activate", "--", "tol")
    assert (done.status, "tol: command not found\nhint: did you mean `tool`?\n" in done.err) == (127, True)
    done = esker("activate", "--", "ruff", PATH="/nowhere")
    assert (done.status, "hint: add it: esker install pypi/ruff\n" in done.err) == (127, True)
    done = esker("activate", "--", "no-such-thing")
    assert (done.status, "hint:" in done.err) == (127, False)


def test_a_missing_command_is_127_and_one_that_cannot_run_126(esker, project, tmp_path):
    """A missing command has status 127, and one that may not be run 126, as in a shell."""
    project()
    done = esker("activate", "--", "no-such-command")
    assert (done.status, "no-such-command: command not found" in done.err) == (127, True)
    (tmp_path / "plain").write_text("")
    assert esker("activate", "--", tmp_path / "plain").status == 126


def test_packages_are_there_inside_and_not_outside(esker, project, index):
    """The first activation locks, realises and runs; outside the environment its programs are not on PATH."""
    index.add("app", "1.0", {"app.py": "def main(): print('hello from app')\n"}, scripts={"app": "app:main"})
    directory = project(PYTHON)
    assert esker("activate", "--", "app").out == "hello from app\n"
    assert esker("activate", "--", "python", "-c", "import app; print(app.__name__)").out == "app\n"
    assert esker("activate", "-c", "app").out == "hello from app\n"
    assert subprocess.run(["sh", "-c", "command -v app"], check=False, capture_output=True).returncode != 0
    assert (directory / ".flox/env/manifest.lock").exists()
    assert (directory / ".flox/pylock.toml").exists()


def test_an_index_with_credentials_of_its_own(esker, project, index, tmp_path):
    """The variables with the name and password of a named index reach uv, and no file holds what they say."""
    index.add("app", "1.0", {"app.py": "def main(): print('hello')\n"}, scripts={"app": "app:main"})
    index.credentials = "someone:s3cret-word"
    project(PYTHON)
    named = {"UV_DEFAULT_INDEX": f"corp={index.url}"}
    refused = esker("activate", "--", "app", **named, UV_INDEX_CORP_USERNAME="someone", UV_INDEX_CORP_PASSWORD="wr0ng")
    assert refused.status == 1
    assert "wr0ng" not in refused.out + refused.err
    done = esker(
        "activate", "--", "app", **named, UV_INDEX_CORP_USERNAME="someone", UV_INDEX_CORP_PASSWORD="s3cret-word"
    )
    assert done == (0, "hello\n", done.err)
    assert "s3cret-word" not in done.err
    basic = base64.b64encode(index.credentials.encode())
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [word for word in (b"s3cret-word", b"wr0ng", basic) if word in content], file


def test_a_warm_activation_needs_neither_uv_nor_network_nor_locks(esker, project, index, tmp_path):
    """With uv replaced by a program that fails and no index, the second activation works and changes no file."""
    index.add("app", "1.0")
    directory = project(PYTHON)
    assert esker("activate", "--", "true").status == 0
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    fails = tmp_path / "uv"
    fails.write_text("#!/bin/sh\necho uv was started >&2\nexit 99\n")
    fails.chmod(0o755)
    code = "import uv, sys; uv.find_uv_bin = lambda: sys.argv[1]; sys.argv[1:2] = []; from esker.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(fails), "activate", "-d", str(directory), "--", "python", "-c", "import app"],
        env=os.environ | {"ESKER_STORE": str(tmp_path / "store-root"), "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()} == before


def test_a_changed_manifest_is_locked_again_unless_locked_is_asked(esker, project):
    """`--locked` refuses a stale lock and names the entry; without it the lock is made again, as Flox does."""
    directory = project()
    assert esker("activate", "--", "true").status == 0
    manifest = directory / ".flox/env/manifest.toml"
    manifest.write_text('schema-version = "1.14.0"\n[vars]\nGREETING = "hello"\n')
    refused = esker("activate", "--locked", "--", "true")
    assert refused.status == 1
    assert "vars.GREETING" in refused.err
    assert "code: stale-lock" in refused.err
    assert esker("activate", "--", "sh", "-c", "echo $GREETING").out == "hello\n"
    assert esker("activate", "--locked", "--", "true").status == 0


def test_the_environments_new_name_is_seen_by_the_next_activation(esker, project):
    """The name is in env.json, which a warm activation checks too."""
    directory = project()
    assert esker("activate", "--", "sh", "-c", "echo $FLOX_PROMPT_ENVIRONMENTS").out == "project\n"
    (directory / ".flox/env.json").write_text('{"name": "renamed", "version": 1}')
    assert esker("activate", "--", "sh", "-c", "echo $FLOX_PROMPT_ENVIRONMENTS").out == "renamed\n"


def test_another_store_or_interpreter_is_used_by_the_next_activation(esker, project, index, tmp_path):
    """A warm activation uses the same store and interpreter as before, unless the caller asks for others."""
    index.add("app", "1.0")
    project(PYTHON)
    where = ("activate", "--", "sh", "-c", "readlink $FLOX_ENV")
    assert esker(*where).out.startswith(f"{tmp_path}/store-root/store/")
    assert esker(*where, ESKER_STORE=str(tmp_path / "other")).out.startswith(f"{tmp_path}/other/store/")
    assert esker(*where).out.startswith(f"{tmp_path}/store-root/store/")
    refused = esker(*where, ESKER_PYTHON="/no/such/python")
    assert (refused.status, "/no/such/python" in refused.err) == (2, True)


def test_the_two_modes_have_their_own_links(esker, project):
    """FLOX_ENV is the run link of the mode; `dev` adds search paths for headers and libraries, `run` does not."""
    directory = project()
    code = 'echo "$FLOX_ENV ${CPATH-none}"'
    dev = esker("activate", "--", "sh", "-c", code).out.split()
    run = esker("activate", "-m", "run", "--", "sh", "-c", code).out.split()
    assert dev[0].startswith(f"{directory}/.flox/run/")
    assert dev[0].endswith(".project-dev")
    assert dev[1] == f"{dev[0]}/include"
    assert run[0].endswith(".project-run")
    assert run[1] == "none"


def test_json_runs_nothing_of_the_project(esker, project, tmp_path):
    """`--json` prints the difference without running the hook."""
    project(f'schema-version = "1.14.0"\n[vars]\nA = "1"\n[hook]\non-activate = "touch {tmp_path}/ran"\n')
    assert esker("activate", "--", "true").status == 0
    (tmp_path / "ran").unlink()
    done = esker("activate", "--json")
    assert "Left out, because only the project's own code can work it out: hook.on-activate" in done.err
    found = json.loads(done.out)
    assert found["set"]["A"] == "1"
    assert sorted(found) == ["append", "prepend", "set", "unset"]
    assert found["prepend"]["PATH"][0].endswith("-dev/bin")
    assert not (tmp_path / "ran").exists()


def test_a_directory_without_an_environment_says_what_to_do(esker, tmp_path):
    """If there is no environment here or above, the message names `esker init`."""
    done = esker("activate", "--", "true", cwd=tmp_path)
    assert done.status == 1
    assert done.err == (
        "✘ ERROR: Did not find an environment in the current directory.\nhint: create one: esker init\ncode: not-found\n"
    )


def test_every_mistake_of_a_manifest_is_told_at_once(esker, project):
    """Two wrong lines give two messages, each with its line and a hint; the status is 1."""
    project('schema-version = "1.14.0"\n[vars]\nA = 1\n[hooks]\non-activate = ""\n')
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "manifest.toml:3:" in done.err
    assert "manifest.toml:4:" in done.err
    assert "code: invalid-manifest" in done.err


def test_a_value_that_an_option_does_not_have_is_told_of_the_option(esker, project):
    """And not of the variable that would say the same, which nobody has set."""
    project()
    done = esker("activate", "-s", "--services-from", "supervisd", "--", "true")
    assert (done.status, done.out) == (2, "")
    assert "argument --services-from: invalid choice: 'supervisd'" in done.err


def test_a_command_without_dashes_is_a_usage_error(esker, project):
    """The status is 2, and the hint shows the command line with dashes; for an unknown option it names the help."""
    project()
    done = esker("activate", "true", "-x")
    assert done.status == 2
    assert "hint: put the command after `--`: esker activate -- true -x\n" in done.err
    assert "hint: did you mean `--locked`?\n" in esker("activate", "--lockd").err


def test_an_index_that_is_gone_leaves_nothing_half_written(esker, project):
    """Without network and cache the first activation fails with the reason, and leaves no lock, plan or link."""
    directory = project(PYTHON)
    done = esker("activate", "--", "true", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    assert done.status == 1
    assert "no package index answered" in done.err
    assert not list(directory.rglob("*lock.toml"))
    assert not list(directory.rglob("manifest.lock"))
    assert not list(directory.rglob("plan-*"))
    assert not (directory / ".flox/run").exists()


@pytest.mark.parametrize("manifest", ["[vars\n", 'schema-version = "1.14.0"\n[hook]\non-activate = "exit"\n'])
def test_an_activation_in_place_that_fails_ends_a_script(esker, project, environ, manifest):
    """If an activation fails, the `eval` of its output fails too, so a script under `set -e` ends."""
    directory = project(manifest)
    script = f'set -e; eval "$("{sys.executable}" -m esker activate)"; echo went on'
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "ERROR" in done.stderr


def test_an_activation_in_place_that_is_interrupted_ends_a_script(esker, project, environ):
    """If an activation is interrupted, a script ends, although the shell itself survives the interrupt."""
    directory = project("schema-version = \"1.14.0\"\n[hook]\non-activate = 'kill -INT $PPID; while :; do :; done'\n")
    script = f'set -e; eval "$("{sys.executable}" -m esker activate)"; echo went on'
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "interrupted\n")


@pytest.mark.parametrize("how", [("-c", "true"), ("--print-script",)])
def test_a_shell_that_nobody_knows_is_told_with_the_one_that_is_used(esker, project, how):
    """FLOX_SHELL is passed over then; inside of the activation nothing is told again."""
    project()
    done = esker("activate", *how, FLOX_SHELL="/bin/zshh", SHELL="/bin/bash")
    assert done.status == 0
    assert done.err == "! FLOX_SHELL is `/bin/zshh`, which is none of bash, zsh, fish, tcsh: the shell is bash\n"
    assert "FLOX_SHELL" not in esker("activate", *how, FLOX_SHELL="bash").err
    assert "FLOX_SHELL" not in esker("activate", *how, FLOX_SHELL="").err
