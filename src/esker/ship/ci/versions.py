"""The actions, runners and images that workflows name, with the versions that were tried.

A version is a tag that its publisher moves within one major version, or the newest tag where there is no such one.
"""

from __future__ import annotations

__all__ = ["ACTIONS", "GITHUB_RUNNERS", "GITLAB_IMAGE", "GITLAB_TAGS"]

ACTIONS = {
    "checkout": "actions/checkout@v6",
    "cache-restore": "actions/cache/restore@v5",
    "cache-save": "actions/cache/save@v5",
    "esker": "esker-env/esker@v0",
    "install-flox": "flox/install-flox-action@v2",
    "activate-flox": "flox/activate-action@v1",
    "install-nix": "DeterminateSystems/nix-installer-action@v22",
    "cache-nix": "DeterminateSystems/magic-nix-cache-action@v9",
    "install-guix": "PromyLOPh/guix-install-action@v1",
}
GITHUB_RUNNERS = {
    "x86_64-linux": "ubuntu-24.04",
    "aarch64-linux": "ubuntu-24.04-arm",
    "aarch64-darwin": "macos-15",
    "x86_64-darwin": "macos-15-intel",
}
"""The runner that GitHub offers for each system, in the order of the matrix."""
GITLAB_TAGS = {
    "x86_64-linux": "saas-linux-small-amd64",
    "aarch64-linux": "saas-linux-small-arm64",
}
"""The tag of the runners that GitLab offers for each system; those for macOS need an application."""
GITLAB_IMAGE = "python:3.13"
"""An image with Python, git, and the compilers that a package built from source may need."""
