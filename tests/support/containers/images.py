"""Images named like public ones, made of Debian's packages: one archive for `docker load` each.

The names and what the entry points do are the public images' (their documentation is the source); the programs are
Debian 13's, whatever version a tag says. All images share the first layer: a shell, coreutils, and busybox for the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import debian
from tests.support.containers.layers import Layer
from tests.support.debian import COPIES, FILES, LINKS, Apt
from tests.support.roots import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["IMAGES", "ROOT", "Image"]

_ENTRY_POINTS = Path(__file__).parent / "entrypoints"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE = ("base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "grep", "sed")
_NOT_NEEDED = re.compile(
    r"adduser|debconf|gcc-.*|init-system-helpers|iproute2|.*perl.*|libbpf1|libdb5.*|libllvm.*|libsem.*|libsepol.*|libz3-.*"
    r"|locales|libc-l10n|login.defs|openssl|passwd|postgresql-(client-)?common.*|procps|sensible-utils|ssl-cert|ucf"
)
"""Packages that only the scripts of an installation need, and PostgreSQL's compiler of queries."""
_NOT_KEPT = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian", "bash-completion"))
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """What an image has beside the first layer."""

    names: tuple[str, ...]
    packages: tuple[str, ...] = ()
    user: str = ""
    """A user whose id is 999, made for its server."""
    finish: Callable[[Layer], None] = lambda _: None
    """Changes the files after they have been unpacked."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Docker's configuration of an image."""
    path: str = _PATH


def _finish_postgres(layer: Layer) -> None:
    layer.remove("usr/lib/postgresql/17/lib/bitcode/")
    layer.remove("usr/lib/postgresql/17/lib/llvmjit")
    sample = "usr/share/postgresql/17/postgresql.conf.sample"
    layer.write(sample, layer.read(sample) + b"listen_addresses = '*'\n")
    layer.make_directory("docker-entrypoint-initdb.d")
    layer.make_directory("run/postgresql", mode=0o3777)  # for whichever user the server runs as


def _finish_nginx(layer: Layer) -> None:
    layer.remove("etc/nginx/")
    layer.copy(_ENTRY_POINTS / "nginx", "etc/nginx")
    layer.write("usr/share/nginx/html/index.html", "<h1>Welcome to nginx!</h1>\n")
    for place in ("var/cache/nginx", "var/log/nginx", "docker-entrypoint.d", "etc/nginx/templates"):
        layer.make_directory(place)


def _finish_python(layer: Layer) -> None:
    for name in ("python", "python3"):
        layer.link(f"usr/local/bin/{name}", "/usr/bin/python3.13")


def _in_memory(port: int, *command: str) -> dict[str, Any]:
    return {
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": list(command),
        "ExposedPorts": {f"{port}/tcp": {}},
        "Volumes": {"/data": {}},
        "WorkingDir": "/data",
    }


IMAGES: Mapping[str, Image] = {
    "busybox": Image(
        ("busybox:latest", "busybox:1", "alpine:latest", "alpine:3", "debian:trixie-slim"), config={"Cmd": ["sh"]}
    ),
    "postgres": Image(
        ("postgres:17-alpine", "postgres:17", "postgres:alpine", "postgres:latest"),
        ("postgresql-17",),
        "postgres",
        _finish_postgres,
        {
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["postgres"],
            "Env": ["PGDATA=/var/lib/postgresql/data", "PG_MAJOR=17", "LANG=C.UTF-8"],
            "ExposedPorts": {"5432/tcp": {}},
            "StopSignal": "SIGINT",
            "Volumes": {"/var/lib/postgresql/data": {}},
        },
        f"/usr/lib/postgresql/17/bin:{_PATH}",
    ),
    "valkey": Image(
        ("valkey/valkey:8", "valkey/valkey:8-alpine", "valkey/valkey:latest"),
        ("valkey-server", "valkey-tools"),
        "valkey",
        config=_in_memory(6379, "valkey-server"),
    ),
    "redis": Image(
        ("redis:7-alpine", "redis:7", "redis:8-alpine", "redis:8", "redis:alpine", "redis:latest"),
        ("redis-server", "redis-tools"),
        "redis",
        config=_in_memory(6379, "redis-server"),
    ),
    "nginx": Image(
        ("nginx:alpine", "nginx:1", "nginx:1-alpine", "nginx:latest"),
        ("nginx",),
        "nginx",
        _finish_nginx,
        {
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
    ),
    "python": Image(
        ("python:3-slim", "python:3.13-slim", "python:3-alpine", "python:3.13-alpine", "python:3"),
        ("python3.13",),
        finish=_finish_python,
        config={"Cmd": ["python3"]},
    ),
}
"""The images by the names of their archives."""


def _make(made: Path, scratch: Path) -> None:
    """Write `NAME.tar` for each image."""
    with Apt("trixie") as apt:
        base = _needed(apt, *_BASE)
        first = _layer(apt, base)
        _finish_base(first, scratch)
        first_archive = first.archive()
        for name, image in IMAGES.items():
            layers = [first_archive]
            if image.packages:
                layer = _layer(apt, [each for each in _needed(apt, *image.packages) if each not in base])
                if image.user:
                    for file, line in {"passwd": ":999:999::/tmp:/bin/sh", "group": ":999:"}.items():
                        layer.write(f"etc/{file}", first.read(f"etc/{file}") + f"{image.user}:x{line}\n".encode())
                image.finish(layer)
                entry_point = _ENTRY_POINTS / f"{name}.sh"
                if entry_point.exists():
                    layer.write("usr/local/bin/docker-entrypoint.sh", entry_point.read_bytes(), mode=0o755)
                layers.append(layer.archive())
            _write_archive(made / f"{name}.tar", image, layers)


def _needed(apt: Apt, *names: str) -> list[str]:
    return [each for each in apt.needed(*names) if not _NOT_NEEDED.fullmatch(each)]


def _layer(apt: Apt, names: Sequence[str]) -> Layer:
    layer = Layer()
    for archive in apt.archives(names):
        layer.add_archive(archive)
    for path in _NOT_KEPT:
        layer.remove(path)
    return layer


def _finish_base(layer: Layer, scratch: Path) -> None:
    """Do what the scripts of the installation would, and let busybox be every command that is not there."""
    for place, source in COPIES.items():
        layer.write(place, layer.read(source))
    for place, text in FILES.items():
        layer.write(place, text)
    for place, target in LINKS.items():
        layer.remove(place)
        layer.link(place, target)
    busybox = scratch / "busybox"
    busybox.write_bytes(layer.read("usr/bin/busybox"))
    busybox.chmod(0o755)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not any(f"usr/{directory}/{applet}" in layer for directory in ("bin", "sbin")):
            layer.link(f"usr/bin/{applet}", "busybox")


def _write_archive(file: Path, image: Image, layers: Sequence[bytes]) -> None:
    """Write an image as `docker save` does."""
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    environment = [f"PATH={image.path}", *image.config.get("Env", [])]
    config = {
        "architecture": _ARCHITECTURE[os.uname().machine],
        "os": "linux",
        "created": "1970-01-01T00:00:01Z",
        "config": {**image.config, "Env": environment},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    content = json.dumps(config).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": image.names, "Layers": [f"{digest}.tar" for digest in digests]}]
    members = {name: content, "manifest.json": json.dumps(manifest).encode()}
    members |= {f"{digest}.tar": layer for digest, layer in zip(digests, layers, strict=True)}
    with tarfile.open(file, "w") as tar:
        for path, data in members.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


ROOT = Root(_make, (Path(__file__), Path(debian.__file__), Path(__file__).with_name("layers.py"), _ENTRY_POINTS))
