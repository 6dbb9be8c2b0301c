"""Which Compose files a project has, and what its description depends on; without any program."""

from __future__ import annotations

import pytest

from esker.activate.compose.files import candidates, compose_files, inputs_digest, override_path, read_files
from esker.declare.load import load
from esker.errors import ServiceError
from tests.support.projects import EMPTY, write_project


@pytest.fixture
def project(tmp_path):
    """Give a function that writes a project with empty files of these names, and returns its declaration."""

    def written(*names, manifest=""):
        directory = write_project(tmp_path / "p", EMPTY + manifest)
        for name in names:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text("services: {}\n")
        return load(str(directory))

    return written


def _names(declaration, **variables):
    return [path.removeprefix(f"{declaration.project}/") for path in compose_files(declaration, variables)]


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ((), []),
        (("docker-compose.yaml",), ["docker-compose.yaml"]),
        (("docker-compose.yml", "docker-compose.yaml"), ["docker-compose.yml"]),
        (("docker-compose.yml", "compose.yml", "compose.yaml"), ["compose.yaml"]),
        (("compose.yaml", "compose.override.yml"), ["compose.yaml", "compose.override.yml"]),
        (("docker-compose.yml", "docker-compose.override.yml"), ["docker-compose.yml", "docker-compose.override.yml"]),
        (
            ("compose.yaml", "compose.override.yaml", "docker-compose.override.yml"),
            ["compose.yaml", "compose.override.yaml"],
        ),
        (("compose.override.yaml",), []),
    ],
)
def test_compose_would_take_the_same(project, there, taken):
    """The base file by Compose's order of names, and one override file after it."""
    assert _names(project(*there)) == taken


def test_compose_file_names_them(project):
    """COMPOSE_FILE wins over what lies there; an absolute path and another separator are understood."""
    declared = project("compose.yaml", "compose.override.yaml", "deploy/a.yaml", "deploy/b.yaml")
    assert _names(declared, COMPOSE_FILE="deploy/a.yaml:deploy/b.yaml") == ["deploy/a.yaml", "deploy/b.yaml"]
    absolute = f"{declared.project}/deploy/b.yaml"
    assert _names(declared, COMPOSE_FILE=f"{absolute};compose.yaml", COMPOSE_PATH_SEPARATOR=";") == [
        "deploy/b.yaml",
        "compose.yaml",
    ]


@pytest.mark.parametrize(
    ("there", "decisive"),
    [
        ((), ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]),
        (
            ("compose.yml", "compose.override.yaml"),
            ["compose.yaml", "compose.yml", "compose.override.yml", "compose.override.yaml", ".env"],
        ),
    ],
)
def test_files_that_may_appear(project, there, decisive):
    """Those that Compose would take before the ones that are there, and those that it would merge or read."""
    declared = project(*there)
    assert [path.removeprefix(f"{declared.project}/") for path in candidates(declared)] == decisive


def test_our_own_override_is_not_counted(project):
    """An activation exports COMPOSE_FILE with the override of Esker's own, which is added elsewhere."""
    declared = project("compose.yaml")
    exported = f"{declared.project}/compose.yaml:{override_path(declared.dot_flox)}"
    assert _names(declared, COMPOSE_FILE=exported) == ["compose.yaml"]


@pytest.mark.parametrize("line", ["COMPOSE_FILE=deploy/a.yaml", 'export COMPOSE_FILE = "deploy/a.yaml" '])
def test_compose_file_in_an_env_file(project, line):
    """Compose reads it from `.env` too; a variable of the caller wins."""
    declared = project("compose.yaml", "deploy/a.yaml")
    with open(f"{declared.project}/.env", "w") as file:
        file.write(f"OTHER=1\n{line}\n")
    assert _names(declared) == ["deploy/a.yaml"]
    assert _names(declared, COMPOSE_FILE="compose.yaml") == ["compose.yaml"]


def test_the_manifest_names_one(project):
    """`file` wins over everything."""
    manifest = '[plugins.esker.compose]\nfile = "deploy/a.yaml"\n'
    declared = project("compose.yaml", "deploy/a.yaml", manifest=manifest)
    assert _names(declared, COMPOSE_FILE="compose.yaml") == ["deploy/a.yaml"]


@pytest.mark.parametrize(
    ("manifest", "variables", "words"),
    [
        ('[plugins.esker.compose]\nfile = "absent.yaml"\n', {}, r"absent.yaml` does not exist, but `file` in"),
        ("", {"COMPOSE_FILE": "absent.yaml"}, r"absent.yaml` does not exist, but COMPOSE_FILE names it"),
        ("[plugins.esker.compose]\n", {}, r"names no `file`, and Compose finds none here"),
    ],
)
def test_a_file_that_is_not_there(project, manifest, variables, words):
    """Whoever names it is named."""
    declared = project(manifest=manifest)
    with pytest.raises(ServiceError, match=words):
        compose_files(declared, variables)


def test_files_of_files_are_read(project):
    """What is included, extended or read as variables counts, also two files away; so does `.env`."""
    declared = project("compose.yaml", "parts/compose.yaml", "parts/more.yml")
    here = declared.project
    for name, text in {
        "compose.yaml": "include: [parts/compose.yaml]\nservices: {a: {env_file: local.env}}\n",
        "parts/compose.yaml": "services: {b: {extends: {file: 'more.yml', service: c}}}\n",
        "local.env": "A=1",
        ".env": "B=2",
        "other.env": "C=3",
    }.items():
        with open(f"{here}/{name}", "w") as file:
            file.write(text)
    read = read_files([f"{here}/compose.yaml"])
    assert sorted(path.removeprefix(f"{here}/") for path in read) == [
        ".env",
        "compose.yaml",
        "local.env",
        "parts/compose.yaml",
        "parts/more.yml",
    ]


def test_what_the_description_depends_on():
    """The files, the variables that they name, and Compose's own; no other variable."""
    contents = {"/p/compose.yaml": b"services: {a: {image: '${IMAGE:-x}'}}"}
    digest = inputs_digest(contents, {"IMAGE": "a", "HOME": "/h"})
    assert digest == inputs_digest(contents, {"IMAGE": "a", "HOME": "/other"})
    for other in (
        inputs_digest(contents, {"IMAGE": "b"}),
        inputs_digest(contents, {"IMAGE": "a", "COMPOSE_PROFILES": "x"}),
        inputs_digest(contents, {"IMAGE": "a", "DOCKER_HOST": "x"}),
        inputs_digest({"/q/compose.yaml": contents["/p/compose.yaml"]}, {"IMAGE": "a"}),
        inputs_digest({"/p/compose.yaml": b"services: {}"}, {"IMAGE": "a"}),
    ):
        assert other != digest
