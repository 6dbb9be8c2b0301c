"""`esker exec`: a command with packages that no project declares, made once and collected later."""

from __future__ import annotations

import os
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("served")]


def made(environ):
    """Return the environments that `exec` has made."""
    directory = os.path.join(environ["HOME"], ".local/share/esker/exec")
    return [f"{directory}/{name}" for name in sorted(os.listdir(directory))] if os.path.isdir(directory) else []


def test_a_program_of_a_package_runs_without_a_project_and_leaves_none(esker, empty, environ):
    """The command runs with its arguments and status; the directory stays empty, and nothing is on the list."""
    done = esker("exec", "-p", "pypi/app", "--", "sh", "-c", 'app; exit "$1"', "sh", "7")
    assert (done.status, done.out) == (7, "app runs\n"), done.err
    assert os.listdir(empty) == []
    assert len(made(environ)) == 1
    assert made(environ)[0] not in esker("envs").out


def test_the_second_time_nothing_is_asked_or_made(esker, empty, environ, served):
    """The order of the packages does not matter, and the same environment serves; another set gets another."""
    first = esker("exec", "-p", "pypi/app", "-p", "pypi/tool", "--", "tool")
    assert first.out == "tool runs\n", first.err
    served.requests.clear()
    second = esker("exec", "-p", "pypi/tool", "-p", "pypi/app", "--", "app")
    assert second.out == "app runs\n", second.err
    assert not served.requests
    assert len(made(environ)) == 1
    assert esker("exec", "-p", "pypi/tool", "--", "tool").out == "tool runs\n"
    assert len(made(environ)) == 2


def test_upgrade_takes_the_newest_version(esker, empty, served):
    """Without it, what was locked the first time stays."""
    version = ("python", "-c", "import importlib.metadata as m; print(m.version('app'))")
    assert esker("exec", "-p", "pypi/app", "--", *version).out == "1.0\n"
    served.add("app", "2.0")
    assert esker("exec", "-p", "pypi/app", "--", *version).out == "1.0\n"
    done = esker("exec", "-p", "pypi/app", "--upgrade", "--", *version)
    assert done.out.endswith("2.0\n"), done.err


def test_what_was_not_used_for_a_month_is_collected(esker, empty, environ):
    """`store gc` keeps what was used lately, and takes away the rest with its store paths."""
    for name in ("app", "tool"):
        esker("exec", "-p", f"pypi/{name}", "--", "true")
    old = made(environ)[0]
    before = time.time() - 40 * 24 * 3600
    os.utime(old, (before, before))
    assert "0 paths" in esker("store", "gc", "--dry-run").err
    assert old in made(environ)
    done = esker("store", "gc")
    assert done.status == 0, done.err
    assert len(made(environ)) == 1
    assert old not in made(environ)
    assert done.out.count("-profile") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--", "true"), "no package is named"),
        (("-p", "pypi/app"), "no command is given"),
        (("-p", "pypi/app", "app"), "app"),
        (("-p", "htop", "--", "htop"), "conda/htop"),
        (("-p", "pypi/==", "--", "true"), "not a requirement"),
        (("-p", "conda/*", "--", "true"), "not the spec of a conda package"),
        (("-p", "pypi/absent", "--", "true"), "absent"),
        (("-p", "pypi/app", "--", "absent-program"), "absent-program"),
    ],
)
def test_mistakes_are_told(esker, empty, arguments, message):
    """Each says what is wrong or missing, and nothing runs."""
    done = esker("exec", *arguments)
    assert done.status != 0
    assert message in done.err
    assert "Traceback" not in done.err


def test_hints_are_for_this_command(esker, empty):
    """A bare name is answered with the option of `exec`, and a command before `--` with its right place."""
    assert "esker exec -p conda/jq" in esker("exec", "-p", "jq", "--", "jq").err
    for words, meant in (
        ("-p pypi/app app --version", "-p pypi/app -- app --version"),
        ("pypi/app -- app --version", "-p pypi/app -- app --version"),
        ("pypi/app conda/jq app", "-p pypi/app -p conda/jq -- app"),
        ("pypi/app", "-p pypi/app -- COMMAND"),
        ("app --version", "-p PACKAGE -- app --version"),
    ):
        assert f"hint: esker exec {meant}\n" in esker("exec", *words.split()).err
    assert "conda/conda-forge::jq" in esker("exec", "-p", "conda-forge/jq", "--", "jq").err
