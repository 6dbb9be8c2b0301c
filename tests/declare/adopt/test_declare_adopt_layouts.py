"""Eleven projects, laid out as public ones are: what a new environment takes of their files, and what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esker.declare.adopt import found_in, joined
from esker.declare.template import NOTHING, manifest
from esker.declare.validate import read_text

LAYOUTS = Path(__file__).parent / "layouts"
NAMES = sorted(entry.name for entry in LAYOUTS.iterdir() if entry.is_dir())


def declared(text):
    """Return the lines of a manifest that declare something, and those that name the file it came from."""
    lines = (line for line in text.split("\n") if line and (not line.startswith("#") or line.startswith("# from ")))
    return "".join(f"{line}\n" for line in lines)


def told(adopted):
    return "".join([f"✔ {line}\n" for line in adopted.taken] + [f"! {line}\n" for line in adopted.left_out])


def test_there_are_eleven():
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_what_is_taken_and_told(name):
    """The manifest is valid, and it and the lines that tell of it are those beside the layout.

    To make them again, write what `declared` and `told` return.
    """
    adopted = joined(found_in(str(LAYOUTS / name)))
    text = manifest(adopted=adopted)
    read_text(text)
    assert declared(text) == (LAYOUTS / f"{name}.manifest").read_text()
    assert told(adopted) == (LAYOUTS / f"{name}.told").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_solver_reads_every_spec(name):
    """Conda's strict notation accepts each spec."""
    from rattler import MatchSpec

    for spec, _ in joined(found_in(str(LAYOUTS / name))).specs:
        assert MatchSpec(spec.text, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_taken_or_told(name):
    """The passwords in the layouts stand in no line."""
    adopted = joined(found_in(str(LAYOUTS / name)))
    written = manifest(adopted=adopted) + told(adopted)
    assert "s3cret" not in written
    assert "t0ken" not in written


def test_an_empty_directory(tmp_path):
    """Where nothing is there, nothing is taken; the same where the directory is missing."""
    assert joined(found_in(str(tmp_path))) == joined(found_in(str(tmp_path / "missing"))) == NOTHING
    assert manifest(adopted=NOTHING) == manifest()


def test_the_other_name_of_an_environment_file(tmp_path):
    """`environment.yaml` is read too, but not beside `environment.yml`; of two conda environments, pixi's is taken."""
    (tmp_path / "environment.yaml").write_text("dependencies: [jq]\n")
    assert joined(found_in(str(tmp_path))).taken == ("environment.yaml: jq",)
    (tmp_path / "environment.yml").write_text("dependencies: [htop]\n")
    assert joined(found_in(str(tmp_path))).taken == ("environment.yml: htop",)
    (tmp_path / "pixi.toml").write_text("[dependencies]\nfd-find = '*'\n")
    adopted = joined(found_in(str(tmp_path)))
    assert adopted.taken == ("pixi.toml: fd-find",)
    assert adopted.left_out[0] == "environment.yml is left out: the conda packages are those of pixi.toml"


def test_the_version_of_python_comes_from_the_first_file(tmp_path):
    """A .python-version comes before a .tool-versions, and what is left out is told."""
    (tmp_path / ".python-version").write_text("3.12\n")
    (tmp_path / ".tool-versions").write_text("python 3.11.4\n")
    adopted = joined(found_in(str(tmp_path)))
    assert adopted.python == ("==3.12.*", ".python-version")
    told = ".tool-versions: `python ==3.11.4` is left out: .python-version says `python ==3.12.*`"
    assert adopted.left_out == (told,)


def test_one_service_has_the_port(tmp_path):
    """`$PORT` is one variable of the environment, so the first service that uses it has it, and the others are told."""
    (tmp_path / "Procfile").write_text("web: serve $PORT\napi: serve ${PORT}\nother: serve $PORTAL\n")
    adopted = joined(found_in(str(tmp_path)))
    _, esker = read_text(manifest(adopted=adopted))
    assert {name: dict(service.ports) for name, service in esker.services.items()} == {"web": {"PORT": 0}}
    assert adopted.left_out == ("Procfile: `api` gets no port of its own: `$PORT` is that of `web`",)


def test_a_variable_comes_from_the_first_file(tmp_path):
    """Another value for it is told, the same one is not; a port that a service gets is no variable."""
    (tmp_path / "pixi.toml").write_text('[activation.env]\nMODE = "a"\nSAME = "s"\n')
    (tmp_path / "mise.toml").write_text('[env]\nMODE = "b"\nSAME = "s"\nPORT = 80\nMORE = "m"\n')
    (tmp_path / "Procfile").write_text("web: serve $PORT\n")
    adopted = joined(found_in(str(tmp_path)))
    made, _ = read_text(manifest(adopted=adopted))
    assert made.vars == {"MODE": "a", "SAME": "s", "MORE": "m"}
    assert adopted.taken == (
        "pixi.toml: the variables `MODE` and `SAME`",
        "mise.toml: the variable `MORE`",
        "Procfile: the service `web`",
    )
    assert adopted.left_out == (
        "mise.toml: `MODE` is left out: pixi.toml says `a`",
        "mise.toml: `PORT` is left out: `web` gets a free port, as $PORT",
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("requirements.txt", b"\xff\xfe\x00", "it is not UTF-8"),
        ("requirements.txt", b"caf\xe9", "it is not UTF-8"),
        ("requirements.txt", b"a\n" * (1 << 19), "it has more than 512 KiB"),
        ("Procfile", "".join(f"s{n}: x\n" for n in range(501)).encode(), "it declares more than 1000 things"),
        ("Procfile", b"web: " + b"x" * (33 << 10), "it declares more than 1000 things"),
        ("pixi.toml", b"a = ", "it is not valid TOML"),
        ("pixi.toml", b"a." * 1000 + b"a = 1", "it is not valid TOML"),
        ("package.json", b"{", "it is not valid JSON, line 1: "),
        ("package.json", b"[" * 100_000, "it is not valid JSON"),
        ("environment.yml", b"a: &b c", "line 1 has YAML that Esker does not read: an anchor"),
        ("environment.yml", b"- a", "it is not an environment file of conda"),
        ("environment.yml", b"dependencies: a", "its `channels` or `dependencies` is not a list"),
        ("environment.yml", b"dependencies:\n- pip:\n  - a: b\n", "its `dependencies` has an entry"),
        ("pyproject.toml", b"a = ", "it is not valid TOML, line 1: "),
    ],
)
def test_a_file_that_cannot_be_read_is_left_out(tmp_path, name, content, reason):
    """One line says why, and the other files count all the same."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / ".nvmrc").write_text("20")
    adopted = joined(found_in(str(tmp_path)))
    assert adopted.taken == (".nvmrc: nodejs 20.*",)
    assert len(adopted.left_out) == 1
    assert adopted.left_out[0].startswith(f"{name} is left out: {reason}")


def test_only_plain_files_of_the_project_are_read(tmp_path):
    """A link may lead to another place in the project, and never out of it; pipes and directories are not opened."""
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret-package\n")
    (project / "requirements.txt").symlink_to("../secret")
    (project / "deep" / "node").write_text("22\n")
    (project / ".nvmrc").symlink_to("deep/node")
    (project / ".python-version").symlink_to(".python-version")
    (project / "package.json").mkdir()
    os.mkfifo(project / "Procfile")
    adopted = joined(found_in(str(project)))
    assert adopted.taken == (".nvmrc: nodejs 22.*",)
    assert adopted.requirements == ()
    assert adopted.left_out == (
        "requirements.txt is left out: it lies outside the project",
        ".python-version is left out: too many levels of symbolic links",
        "package.json is left out: it is not a plain file",
        "Procfile is left out: it is not a plain file",
    )


def test_many_things_left_out_are_counted(tmp_path):
    """Nobody reads hundreds of lines: of one file the first fifty are told, unless all are asked for."""
    (tmp_path / "Procfile").write_text("".join(f"no service {number}\n" for number in range(100)))
    left_out = joined(found_in(str(tmp_path))).left_out
    assert len(left_out) == 51
    assert left_out[-1] == "Procfile: 50 more things are left out (-v shows them all)"
    every = joined(found_in(str(tmp_path)), most=None).left_out
    assert (len(every), every[:50], "no service 99" in every[-1]) == (100, left_out[:50], True)


def test_a_file_that_is_left_out_itself_leaves_no_other_out(tmp_path):
    """The wheels of an environment.yml do not count where pixi.toml is taken in its place."""
    (tmp_path / "pixi.toml").write_text('[workspace]\nchannels = ["conda-forge"]\n[dependencies]\njq = "*"\n')
    (tmp_path / "environment.yml").write_text("dependencies:\n- pip:\n  - flask\n")
    (tmp_path / "requirements.txt").write_text("django\n")
    adopted = joined(found_in(str(tmp_path)))
    assert [text for text, _ in adopted.requirements] == ["django"]
    assert [line for line in adopted.left_out if line.startswith("environment.yml")] == [
        "environment.yml is left out: the conda packages are those of pixi.toml"
    ]


def test_a_project_without_dependencies_is_named_as_such(tmp_path):
    """Where pyproject.toml lists no packages, the line about requirements.txt says so."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\n')
    (tmp_path / "requirements.txt").write_text("django\n")
    (line,) = joined(found_in(str(tmp_path))).left_out
    assert line.endswith("the Python packages are those of pyproject.toml, which lists none")
