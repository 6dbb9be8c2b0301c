"""Debian's newest suite, with newer programs than the machine's own: Nix, Guix, Podman, kubectl, and Rails."""
