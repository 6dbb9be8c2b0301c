"""What is kept of a Compose project, when it is used without asking Compose."""

from __future__ import annotations

import json

import pytest

from esker.activate.compose.project import last_project
from tests.support.projects import write_project

WEB = {"name": "web", "ports": [{"target": 80, "published": "18080"}]}


@pytest.fixture
def kept(tmp_path):
    """Give a function that writes what is kept of a project, as if its files had these paths below the checkout."""

    def written(*paths):
        project = write_project(tmp_path / "shop")
        directory = project / ".flox/cache/esker"
        directory.mkdir(parents=True)
        record = {"version": 2, "inputs": "", "name": "shop", "own_name": "shop", "is_named": True}
        files = [f"{project}/{path}" for path in paths]
        more = {"services": {"web": WEB}, "hashes": {"web": ["a"]}, "files": files}
        (directory / "compose.json").write_text(json.dumps(record | more))
        return str(project)

    return written


def test_the_last_description(kept):
    """Name, files and services are there, with the caller's variables."""
    project = kept("compose.yaml")
    found = last_project(project, f"{project}/.flox", {"A": "b"})
    assert (found.name, found.files, found.directory) == ("shop", (f"{project}/compose.yaml",), project)
    assert found.services["web"].ports[0].number == 18080
    assert found.variables == {"A": "b"}


@pytest.mark.parametrize("paths", [(), ("../other/compose.yaml",), ("compose.yaml", "../x.yaml")])
def test_another_checkout_is_not_reached(kept, paths):
    """What came with the checkout cannot name the containers of another."""
    project = kept(*paths)
    assert last_project(project, f"{project}/.flox", {}) is None


def test_nothing_is_kept(tmp_path):
    """Before Compose was ever asked there is no description."""
    project = write_project(tmp_path)
    assert last_project(str(project), f"{project}/.flox", {}) is None
