"""What is advised when Nix refuses, with a program in its place that says what Nix says."""

from __future__ import annotations

import os

import pytest

from esker.errors import ActivationFailed
from esker.runtimes.nix import command

REFUSAL = "error: could not set permissions on '/nix/var/nix/profiles/per-user' to 755: Operation not permitted"


@pytest.fixture
def variables(tmp_path):
    """Give variables by which a Nix is found that refuses, and a state directory of this user."""
    (tmp_path / "nix").write_text(f'#!/bin/sh\necho "${{SAID-{REFUSAL}}}" >&2\nexit 1\n')
    (tmp_path / "nix").chmod(0o755)
    (tmp_path / "state").mkdir()
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "NIX_STATE_DIR": f"{tmp_path}/state"}


def advice(variables, tmp_path):
    """Return the advice of an activation, and that of the doctor."""
    with pytest.raises(ActivationFailed) as activation:
        command.run_nix(["print-dev-env"], variables, cwd=str(tmp_path), alone=".")
    with pytest.raises(ActivationFailed) as doctor:
        command.check_store(variables)
    return activation.value.hint, doctor.value.hint


def test_a_nix_of_another_user(variables, tmp_path, monkeypatch):
    """The owner of its files is named, and the daemon; not where they are this user's, or a daemon is there."""
    own, _ = usual = advice(variables, tmp_path)
    assert own.startswith("correct what Nix names")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("/state") and real(path, mode))
    state = variables["NIX_STATE_DIR"]
    owner = command.account(os.geteuid()).name
    said = f"Nix's files (`{state}`) belong to `{owner}`, and no daemon writes them for you: start nix-daemon"
    assert advice(variables, tmp_path) == (said, said)
    assert advice(variables | {"SAID": "error: syntax error"}, tmp_path) == usual
    assert advice(variables | {"NIX_REMOTE": "daemon"}, tmp_path) == usual
    (tmp_path / "state/daemon-socket").mkdir()
    (tmp_path / "state/daemon-socket/socket").write_text("")
    assert advice(variables, tmp_path) == usual
