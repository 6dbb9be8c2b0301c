"""What Nix gives an image: it is asked for the closure of the store paths that something names, and for no other."""

from __future__ import annotations

import base64
import json

import pytest

from esker.declare.declaration import Declaration, EskerTable
from esker.errors import ActivationFailed, ImageError, Malformed
from esker.formats.manifest import Manifest
from esker.runtimes.foreign.tool import Toolchain
from esker.runtimes.nix.image_environment import image_environment
from esker.settings import Settings


@pytest.fixture
def store(tmp_path):
    """Give the directory of a store with the paths `a` and `b`."""
    path = tmp_path / "store"
    for name in ("a", "b"):
        (path / f"{name * 32}-{name}/bin").mkdir(parents=True)
    return path


@pytest.fixture
def asked(tmp_path, store, environ):
    """Give a function that returns the environment of a toolchain; `nix` prints an answer and writes what it was asked."""
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs/nix"
    (tmp_path / "project").mkdir()

    def ask(answer="[]", status=0, mode="run", unless="", **toolchain):
        (tmp_path / "answer").write_text(answer)
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\n'
            f'case "$*" in *"{unless}"*) ;; *) echo "error: specify {unless}" >&2; exit 1 ;; esac\n'
            f'cat {tmp_path}/answer\necho "error: no" >&2\nexit {status}\n'
        )
        program.chmod(0o755)
        variables = environ | {"PATH": f"{program.parent}:/usr/bin:/bin", "NIX_STORE_DIR": str(store)}
        declaration = Declaration(
            project=str(tmp_path / "project"),
            name="project",
            manifest=Manifest(schema="1.14.0"),
            esker=EskerTable(runtime="nix"),
        )
        return image_environment(declaration, Toolchain(**toolchain), Settings(variables), mode)

    return ask


def info(path, references=()):
    digest = base64.b64encode(bytes(32)).decode()
    return {"path": path, "narHash": f"sha256-{digest}", "narSize": 10, "references": list(references), "valid": True}


def test_what_is_named_is_asked_for(asked, store, tmp_path):
    """By a variable, by PATH and by the hook; what only a build names in mode `run` is not."""
    a, b = f"{store}/{'a' * 32}-a", f"{store}/{'b' * 32}-b"
    answer = json.dumps([info(a, [b]), info(b)])
    made = asked(answer, variables={"stdenv": b, "WORD": "x"}, lists={"PATH": f"{a}/bin:/usr/bin"}, hook="true")
    assert (tmp_path / "asked").read_text().splitlines()[2:] == ["path-info", "--recursive", "--json", a]
    assert ([each.path for each in made.closure.paths], made.path) == ([a, b], (f"{a}/bin",))
    assert made.variables == {"WORD": ("x", "Nix gives it")}
    asked(answer, mode="dev", variables={"stdenv": b}, hook=f"{a}/bin/x")
    assert (tmp_path / "asked").read_text().splitlines()[5:] == [a, b]


def test_a_list_has_only_what_is_in_the_store(asked, store):
    """What stands before the caller's own elements elsewhere stands alone in an image."""
    a = f"{store}/{'a' * 32}-a"
    made = asked(json.dumps([info(a)]), lists={"XDG_DATA_DIRS": f"{a}/share:/usr/share:{a}/share"})
    assert made.variables["XDG_DATA_DIRS"][0] == f"{a}/share"


def test_nothing_of_this_machine(asked, tmp_path):
    """Neither its number of cores nor the place of the project, which stands in what comes with the hook."""
    text = f"prefix={tmp_path}/project/outputs/out\n"
    made = asked(mode="dev", variables={"NIX_BUILD_CORES": "2"}, declarations=text, hook="true")
    assert (made.variables, made.declarations) == ({}, "prefix=/outputs/out\n")


def test_nothing_of_the_store(asked, tmp_path):
    """Then Nix is not asked."""
    made = asked(variables={"WORD": "x"})
    assert made.closure.paths == ()
    assert not (tmp_path / "asked").exists()


def test_a_path_that_is_gone(asked, store):
    """What PATH names has to be there, and the error says how to get it."""
    with pytest.raises(ImageError, match="-gone` is not in Nix's store on this machine") as caught:
        asked(lists={"PATH": f"{store}/{'0' * 32}-gone/bin"})
    assert "esker activate" in caught.value.hint


def test_a_nix_that_insists_on_a_format(asked, store, tmp_path):
    """Nix 2.34 announces that it will; then it is asked once more, with the format."""
    path = f"{store}/{'a' * 32}-a"
    answer = json.dumps({"version": 2, "info": {path.rpartition("/")[2]: info(path)}})
    made = asked(answer, lists={"PATH": f"{path}/bin"}, unless="--json-format")
    assert [each.path for each in made.closure.paths] == [path]
    assert (tmp_path / "asked").read_text().splitlines()[3:-1] == ["--recursive", "--json", "--json-format", "2"]


def test_an_answer_that_is_none(asked, store):
    """Text that is no JSON, and a Nix that fails: both say what Nix has done."""
    lists = {"PATH": f"{store}/{'a' * 32}-a/bin"}
    with pytest.raises(Malformed, match="`nix path-info` has printed what is not understood"):
        asked("what", lists=lists)
    with pytest.raises(ActivationFailed, match="error: no") as caught:
        asked(status=1, lists=lists)
    assert "path-info --recursive --json" in caught.value.hint
