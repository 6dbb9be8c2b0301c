"""Fixtures of the tests with real Nix."""

from __future__ import annotations

import shutil

import pytest

from tests.support.nix import Nix


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
    """Give a function that makes a flake, which git tracks, of the attributes of `devShells` and more files."""
    made = []

    def make(shells, *, inputs="", before="", files=None, git=True, name=None):
        text = f"""{{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  {inputs}
  outputs = {{ self, nixpkgs, ... }}@inputs:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${{system}};
      {before}
    in {{ devShells.${{system}} = {{ {shells} }}; }};
}}
"""
        number = len(made)
        title = name or f"{request.node.name.partition('[')[0][:40]}-{number}-{id(request) % 10000}"
        project = nix.project({"flake.nix": text, **(files or {})}, title, git=git)
        lock(project)
        made.append(project)
        return project

    def lock(project):
        words = ["flake", "lock", "--override-input", "nixpkgs", f"path:{nix.nixpkgs}"]
        nix(*words, cwd=project.directory)
        if (project.directory / ".git").exists():
            project.git("add", "--all")

    return make
