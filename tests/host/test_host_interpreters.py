"""Which Python is taken, and what is said of an ESKER_PYTHON that cannot be."""

from __future__ import annotations

import json
import os
import shlex
import sys

import msgspec
import pytest

from esker.errors import NotFound, UsageError
from esker.host import interpreters
from esker.host.interpreters import Interpreters, inspect


@pytest.fixture
def script(tmp_path):
    """Give a function that makes an executable with these lines of sh, and returns its path."""

    def make(*lines, name="python"):
        path = tmp_path / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def posing(script):
    """Give a function that makes an executable which answers as this Python does, but for what is changed."""
    real = msgspec.to_builtins(inspect(sys.executable, dict(os.environ)))

    def make(markers=(), **changes):
        answer = {**real, **changes, "markers": {**real["markers"], **dict(markers)}}
        return script(f"echo {shlex.quote(json.dumps(answer))}")

    return make


def refusal(named, **variables):
    """Return what is said of an ESKER_PYTHON."""
    with pytest.raises(UsageError) as caught:
        Interpreters({"PATH": os.environ["PATH"], **variables}, str(named)).find(None)
    assert caught.value.hint == "name a CPython 3.7 or later by its full path, or unset it"
    beginning = f"ESKER_PYTHON is `{named}`, "
    assert caught.value.message.startswith(beginning)
    return caught.value.message.removeprefix(beginning)


def test_the_named_one_comes_first(posing):
    """Another than the running one, where it can be used."""
    named = posing(executable="/opt/python3.12", version="3.12.1")
    assert Interpreters({}, named).find(">=3.11").executable == "/opt/python3.12"
    assert Interpreters({}, named).find("<3.12").executable == inspect(sys.executable, {}).executable


def test_one_that_is_too_old_is_named_with_its_version(script, posing):
    """3.6 answers; 2.7 does not know the options and is asked again in its own words."""
    assert refusal(posing(version="3.6.15")) == "which is Python 3.6.15"
    old = script('[ "$1" = -I ] && { echo "Unknown option: -I" >&2; exit 2; }', "printf 'Python 2.7.18'")
    assert refusal(old) == "which is Python 2.7.18"


def test_another_implementation_is_named(posing):
    """Wheels are chosen for CPython alone."""
    pypy = {"implementation_name": "pypy", "platform_python_implementation": "PyPy"}
    assert refusal(posing(pypy, version="3.10.14")) == "which is PyPy 3.10.14"


def test_a_free_threaded_one_is_named_and_passed_over(posing):
    """It has another directory for packages, and other wheels; `python3.13` may be one."""
    build = {"abi": "cpython-313t-x86_64-linux-gnu", "version": "3.13.1", "executable": "/opt/python3.13t"}
    named = posing(**build)
    assert refusal(named) == "which is a free-threaded Python 3.13.1"
    assert (
        Interpreters({"PATH": os.path.dirname(named)}).find(None).executable == inspect(sys.executable, {}).executable
    )


def test_an_old_one_on_path_is_passed_over_and_listed(posing):
    """What nobody named is no error while there is another, and is told where there is none."""
    named = posing(executable="/opt/python3.6", version="3.6.15")
    environ = {"PATH": os.path.dirname(named)}
    assert Interpreters(environ).find(None).executable == inspect(sys.executable, {}).executable
    with pytest.raises(NotFound, match=r"3\.6\.15 \(/opt/python3\.6\)"):
        Interpreters(environ).find("<3.7")


def test_what_is_no_program_is_told_as_what_it_is(tmp_path):
    """Not there, not on PATH, a directory, a file that may not be executed."""
    (tmp_path / "plain").write_text("")
    assert refusal(tmp_path / "nowhere") == "which does not exist"
    assert refusal("no-such-python") == "which is not on PATH"
    assert refusal(tmp_path) == "which is a directory"
    assert refusal(tmp_path / "plain") == "which may not be executed"


@pytest.mark.parametrize("lines", [["exit 3"], ["echo hello"], ["echo '{}'"], ["echo '[1]'"], ["kill -SEGV $$"]])
def test_a_program_that_is_no_python_is_told(script, lines):
    """Whatever it answers and however it ends."""
    assert refusal(script(*lines)) == "which does not work as a Python"


def test_a_program_that_does_not_answer_is_ended_with_its_children(script, tmp_path, monkeypatch):
    """Also where a child holds the pipe that is read; what reads the standard input finds its end."""
    monkeypatch.setattr(interpreters, "_PATIENCE", 0.2)
    hanging = script(f"sleep 1000 & echo $! >{tmp_path}/child", "wait")
    assert refusal(hanging) == "which did not answer within 0.2 s"
    assert not os.path.exists(f"/proc/{(tmp_path / 'child').read_text().strip()}/exe")
    assert refusal(script("cat")) == "which does not work as a Python"
