"""How a missing extra of Esker's is installed beside it."""

from __future__ import annotations

import importlib.util
import sys

from esker.host.extras import how_to_install


def test_the_command_names_the_interpreter_that_runs_esker(monkeypatch):
    """Another Python on PATH may refuse to install anything, or has another Esker."""
    monkeypatch.setattr(sys, "executable", "/home/a b/bin/python")
    assert how_to_install("image") == "install Esker with it: '/home/a b/bin/python' -m pip install 'esker[image]'"


def test_a_tool_of_uvs_has_no_pip(monkeypatch):
    """Then uv installs into that interpreter's environment."""
    monkeypatch.setattr(sys, "executable", "/opt/esker/bin/python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    said = how_to_install("conda")
    assert said == "install Esker with it: uv pip install --python /opt/esker/bin/python 'esker[conda]'"
