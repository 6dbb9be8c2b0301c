"""The uv program is ours to the end: it does not live on without us."""

from __future__ import annotations

import os

import pytest

from esker.host import pidfd, uv
from tests.support.children import Child, stopped_programs


def test_uv_is_killed_with_us(tmp_path, monkeypatch):
    """After a kill that nothing can prevent, uv does not write on into what nobody will clear up."""
    program, pids = stopped_programs(tmp_path)
    monkeypatch.setattr(uv, "uv_program", lambda: program)
    child = Child(lambda: uv.run_uv(["pip"], {"PATH": os.environ["PATH"]}, cwd="/"))
    with pidfd.opened(pids()[0]) as running:
        child.kill()
        child.wait()
        assert running is None or pidfd.wait(running, 10)


def test_what_a_person_is_told_to_run(tmp_path, monkeypatch):
    """Nobody is told to run a command that is not on PATH: pip puts Esker's own uv where no PATH leads."""
    own = tmp_path / "a place/uv"
    monkeypatch.setattr(uv, "uv_program", lambda: str(own))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv.uv_command() == f"'{own}'"
    (tmp_path / "uv").write_text("")
    (tmp_path / "uv").chmod(0o755)
    assert uv.uv_command() == "uv"


def test_uv_that_is_not_there_is_an_error_with_a_mend(tmp_path, monkeypatch):
    """A program that went away after it was found is named, with what brings it back."""
    monkeypatch.setattr(uv, "uv_program", lambda: str(tmp_path / "uv"))
    with pytest.raises(uv.HostError, match="could not be started: No such file") as caught:
        uv.run_uv(["pip"], {}, cwd="/")
    assert "--force-reinstall uv" in caught.value.hint


@pytest.mark.parametrize(
    ("leads_out", "variables", "retries"),
    [
        (False, {}, "0"),
        (True, {}, ""),
        (False, {"UV_HTTP_RETRIES": "5"}, "5"),
        (False, {"UV_DEFAULT_INDEX": "http://box.invalid/simple"}, ""),
        (False, {"https_proxy": "http://box.invalid:3128"}, ""),
    ],
)
def test_uv_asks_once_where_nobody_can_answer(tmp_path, monkeypatch, leads_out, variables, retries):
    """Without a way out it need not try again; what somebody has said of retries, and an index nearby, count."""
    program = tmp_path / "uv"
    program.write_text('#!/bin/sh\nprintf %s "$UV_HTTP_RETRIES"\n')
    program.chmod(0o755)
    monkeypatch.setattr(uv, "uv_program", lambda: str(program))
    monkeypatch.setattr(uv, "has_way_out", lambda: leads_out)
    assert uv.uv_output(["pip"], variables, cwd="/") == retries
