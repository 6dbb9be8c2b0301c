"""Nix's formats: store paths, base-32 digests, archives."""
