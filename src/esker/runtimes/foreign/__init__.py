"""What runtimes have in common whose toolchain another tool gives: `nix` and `guix`."""
