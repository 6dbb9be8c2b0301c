"""An image of what real Nix gives a project: its store paths run in an engine, and a new version changes one layer."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.support import static_programs
from tests.support.fake_registry import FakeRegistry
from tests.support.nix import Nix

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

FLAKE = """{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs = { self, nixpkgs, ... }:
    let
      pkgs = nixpkgs.legacyPackages.${builtins.currentSystem or "SYSTEM"};
      shell = pkgs.mkDerivation {
        name = "shell-5.2";
        buildCommand = ''
          mkdir -p $out/bin
          cp ${./programs}/* $out/bin/
          ln -s bash $out/bin/sh
          for program in cat id env; do ln -s busybox $out/bin/$program; done
        '';
      };
      word = pkgs.mkDerivation {
        name = "word-1.0";
        source = "#include <stdio.h>\\nint main(void) { puts(\\"a word of the store\\"); return 0; }\\n";
        buildCommand = ''
          mkdir -p $out/bin
          printf "$source" | gcc -static -x c - -o $out/bin/word
          head -c 6000000 /dev/zero >$out/large
        '';
      };
      greet = pkgs.mkDerivation {
        name = "greet-GREET";
        buildCommand = ''
          mkdir -p $out/bin $out/share
          printf '%s\\n' '#!${shell}/bin/bash' 'echo greet GREET' 'exec ${word}/bin/word' >$out/bin/greet
          chmod +x $out/bin/greet
          ln -s ${word}/large $out/share/large
        '';
      };
    in {
      devShells.SYSTEM.default = pkgs.mkShell {
        packages = [ greet shell MORE ];
        MODE = "from Nix";
        shellHook = "export FROM_HOOK=$MODE-$(echo hook)";
      };
    };
}
"""
SYSTEM = f"{os.uname().machine}-linux"


@pytest.fixture(scope="module")
def nix(tmp_path_factory):
    """Give a Nix with a store of its own."""
    if shutil.which("nix") is None:
        pytest.skip("Nix is not installed")
    made = Nix(tmp_path_factory.mktemp("nix"))
    yield made
    made.remove()


@pytest.fixture
def flake(nix, request):
    """Give a function that makes the project, or writes it anew, with a version of `greet` and more packages."""
    made = []

    def make(version="1.0", more="", flox=None):
        text = FLAKE.replace("SYSTEM", SYSTEM).replace("GREET", version).replace("MORE", more)
        if not made:
            files = {"flake.nix": text, **({} if flox is None else flox)}
            made.append(nix.project(files, request.node.name))
            (made[0].directory / "programs").mkdir()
            for name in ("bash", "busybox"):
                shutil.copy(static_programs.program(name), made[0].directory / "programs" / name)
            made[0].git("add", "--all")
            words = ["flake", "lock", "--override-input", "nixpkgs", f"path:{nix.nixpkgs}"]
            nix(*words, cwd=made[0].directory)
        made[0].write("flake.nix", text)
        made[0].git("add", "--all")
        return made[0]

    return make


def built(project, layout, *options):
    done = project.esker("image", "build", "--json", "--layout", str(layout), *options)
    assert done.status == 0, done.err
    [image] = json.loads(done.out)["images"]
    return image, done.err


def test_a_closure_runs_in_docker(flake, docker_engine, tmp_path):
    """Programs of Nix run with nothing of this machine; the hook runs at the start, and what it sets is not kept."""
    project = flake()
    image, said = built(project, tmp_path / "layout", "-m", "run")
    assert "store paths of Nix, " in said
    units = {unit["name"]: unit["version"] for layer in image["layers"] for unit in layer["units"]}
    assert {name: units[name] for name in units if name.startswith("nix/")} == {
        "nix/greet": "1.0",
        "nix/shell": "5.2",
        "nix/word": "1.0",
    }
    done = project.esker("containerize", "-m", "run", "--tag", "1", "--runtime", "docker", **docker_engine.variables)
    assert done.status == 0, done.err
    name = f"{project.directory.name.replace('_', '-')}:1"
    docker = docker_engine.docker
    assert docker_engine.said(name, "greet").splitlines() == ["greet 1.0", "a word of the store"]
    said = docker_engine.said(name, "sh", "-c", "echo $FROM_HOOK/$MODE; id -u; cat /proc/self/comm")
    assert said.splitlines() == ["from Nix-hook/from Nix", "0", "cat"]
    environ = docker("image", "inspect", "--format", "{{json .Config.Env}}", name)
    assert "FROM_HOOK" not in environ
    script = docker_engine.said(name, "cat", "/opt/esker/entry")
    for text in (environ, script):
        assert str(project.directory) not in text
        assert str(project.nix.home) not in text
    bill = json.loads(project.esker("image", "sbom", "-m", "run").out)
    assert {each["name"] for each in bill["components"]} == {"greet", "shell", "word"}
    with FakeRegistry() as registry:
        assert project.esker("image", "push", "-m", "run", f"{registry.host}/app:1").status == 0
        checked = project.esker("image", "verify", "--sbom", f"{registry.host}/app:1")
        assert checked.status == 0, checked.err


def test_a_new_version_changes_one_layer(flake, tmp_path):
    """That of the package, and the script with the hook; the other paths are in layers that stay, and an unchanged image reads no store path."""
    project = flake()
    before, _ = built(project, tmp_path / "before", "-m", "run")
    names = ["nix/shell", "nix/word", "small packages", "configuration"]
    assert [layer["name"] for layer in before["layers"]] == names
    again, _ = built(project, tmp_path / "again", "-m", "run")
    assert again == before
    flake("2.0")
    after, _ = built(project, tmp_path / "after", "-m", "run")
    same = {layer["digest"] for layer in before["layers"]}
    changed = [layer["name"] for layer in after["layers"] if layer["digest"] not in same]
    assert changed == ["small packages", "configuration"]  # the arrays that come with the hook name the paths
    done = project.esker("image", "diff", str(tmp_path / "before"), str(tmp_path / "after"))
    assert "nix/greet 1.0 became 2.0" in done.out


def test_links_to_this_machine_are_refused(flake, tmp_path):
    """The stand-in's own packages lead to the host's programs: the message names the link and where it leads."""
    project = flake(more="pkgs.coreutils")
    done = project.esker("image", "build", "-m", "run")
    assert done.status == 1
    assert "bin/cat` of nix/coreutils cannot be in an image: it leads to `/" in done.err
    assert "this machine's and not Nix's" in done.err


def test_programs_that_need_this_machine_are_refused(flake):
    """A program that gcc of this machine has linked needs its loader, which is in no store path."""
    dynamic = """(pkgs.mkDerivation {
      name = "dynamic-1";
      buildCommand = "mkdir -p $out/bin; echo 'int main(){return 0;}' | gcc -x c - -o $out/bin/dynamic";
    })"""
    done = flake(more=dynamic).esker("image", "build", "-m", "run")
    assert done.status == 1
    assert "bin/dynamic` of nix/dynamic cannot be in an image: it needs the loader `/lib" in done.err


def test_the_c_library_of_the_store(flake, docker_engine):
    """A program with the loader of the ABI runs by a glibc among the store paths, to which the loader's place leads."""
    library = """(let glibc = pkgs.mkDerivation {
      name = "glibc-2.36";
      buildCommand = ''
        mkdir -p $out/lib
        cp -L $(gcc -print-file-name=libc.so.6) $(sed -n 's/.*AS_NEEDED ( \\(\\S*\\) .*/\\1/p' $(gcc -print-file-name=libc.so)) $out/lib
      '';
    }; in pkgs.mkDerivation {
      name = "dynamic-1";
      buildCommand = ''
        mkdir -p $out/bin
        echo '#include <stdio.h>
          int main(void) { puts("by the glibc of the store"); return 0; }' | gcc -Wl,-rpath,${glibc}/lib -x c - -o $out/bin/dynamic
      '';
    })"""
    project = flake(more=library)
    done = project.esker("containerize", "-m", "run", "--runtime", "docker", **docker_engine.variables)
    assert done.status == 0, done.err
    name = f"{project.directory.name.replace('_', '-')}:latest"
    assert docker_engine.said(name, "dynamic") == "by the glibc of the store\n"
    assert "C library: nix/glibc-2.36" in project.esker("image", "inspect", "-m", "run").out


def test_an_altered_store_path_is_refused(flake, nix, tmp_path):
    """A file that has changed since Nix built it is found out when its layer is made."""
    project = flake("3.0")
    project.activate("--", "true")
    [greet] = (nix.directory / "nix/store").glob("*-greet-3.0")
    (greet / "bin").chmod(0o755)
    (greet / "bin/greet").chmod(0o755)
    (greet / "bin/greet").write_text("#!/bin/sh\necho altered\n")
    done = project.esker("image", "build", "-m", "run")
    assert done.status == 1
    assert f"`{greet}` is not as Nix knows it" in done.err


MANIFEST = """schema-version = "1.14.0"
[options]
systems = ["SYSTEM"]
[vars]
WORD = "own"
[plugins.esker]
runtime = "nix"
[plugins.esker.image]
vars = { MODE = "production" }
layers = [{ name = "tools", packages = ["nix/word", "greet"] }]
"""


def test_with_a_manifest(flake, docker_engine):
    """`runtime = "nix"` in `.flox` gives the same; its variables, the image's own and layers come on top."""
    files = {
        ".flox/env.json": json.dumps({"name": "named", "version": 1}),
        ".flox/env/manifest.toml": MANIFEST.replace("SYSTEM", SYSTEM),
    }
    project = flake(flox=files)
    assert project.esker("lock").status == 0
    done = project.esker("containerize", "--runtime", "docker", "-m", "run", **docker_engine.variables)
    assert done.status == 0, done.err
    assert (project.directory / ".flox/image.lock").exists()
    said = docker_engine.said("named:latest", "bash", "-c", "echo $WORD $MODE $FROM_HOOK; greet")
    assert said.splitlines() == ["own production production-hook", "greet 1.0", "a word of the store"]
    done = project.esker("image", "inspect", "-m", "run")
    assert "tools\n" in done.out
    other = {"x86_64-linux": "aarch64-linux", "aarch64-linux": "x86_64-linux"}[SYSTEM]
    project.write(".flox/env/manifest.toml", files[".flox/env/manifest.toml"].replace(f'["{SYSTEM}"]', f'["{other}"]'))
    assert project.esker("lock").status == 0
    done = project.esker("image", "build")
    assert done.status == 1
    assert f"Nix gives the toolchain for {SYSTEM} alone, and the image is for {other} too" in done.err
