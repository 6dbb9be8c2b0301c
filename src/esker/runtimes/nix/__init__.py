"""Nix as a runtime: a flake or a shell.nix gives the toolchain."""
