"""Images in OCI layouts as Docker makes them, of archives that tests choose: bases for images."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from esker.formats.oci.documents import Descriptor
from esker.ship.image.blobs import Blobs
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["push_layout", "write_index", "write_layout"]

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
_CONFIG = {
    "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
    "Cmd": ["bash"],
    "Labels": {"org.example.base": "debian"},
    "OnBuild": ["RUN echo never"],
}
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def write_layout(
    directory: Path,
    archives: Sequence[bytes],
    config: Mapping[str, object] | None = None,
    architecture: str = "",
    layer_kind: str = _LAYER,
) -> str:
    """Write an image with these layers into a layout as Docker makes it, and return its manifest's digest."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def add(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in archives]
    document = {
        "architecture": architecture or _ARCHITECTURE,
        "os": "linux",
        "config": dict(_CONFIG if config is None else config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"step {number}"} for number in range(len(archives))],
    }
    described = {"mediaType": "application/vnd.docker.container.image.v1+json", **add(json.dumps(document).encode())}
    listed = [{"mediaType": layer_kind, **add(gzip.compress(each, 1, mtime=0))} for each in archives]
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": listed}
    top = {"mediaType": _MANIFEST, **add(json.dumps(manifest).encode())}
    top["annotations"] = {"org.opencontainers.image.ref.name": "debian"}
    index = directory / "index.json"
    before = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*before, top]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return str(top["digest"])


def write_index(directory: Path, digests: Sequence[str]) -> str:
    """Write an index of manifests that a layout has into it, and return its digest."""
    blobs = directory / "blobs/sha256"
    listed = []
    for digest in digests:
        data = (blobs / digest.partition(":")[2]).read_bytes()
        config = json.loads((blobs / json.loads(data)["config"]["digest"].partition(":")[2]).read_bytes())
        platform = {"os": "linux", "architecture": config["architecture"]}
        listed.append({"mediaType": _MANIFEST, "digest": digest, "size": len(data), "platform": platform})
    kind = "application/vnd.docker.distribution.manifest.list.v2+json"
    content = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": listed}).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    top = {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return f"sha256:{digest}"


def push_layout(layout: Path, host: str, path: str) -> None:
    """Have a registry keep what `index.json` of a layout names, and all that this names, as it is."""
    with Registry(host, Credentials("/nonexistent/config.json", {})) as registry:
        repository = Repository(registry, path, push=True)
        for top in json.loads((layout / "index.json").read_text())["manifests"]:
            _push(layout, repository, top)


def _push(layout: Path, repository: Repository, top: Mapping[str, Any]) -> None:
    data = (layout / f"blobs/{top['digest'].replace(':', '/')}").read_bytes()
    content = json.loads(data)
    for each in content.get("manifests", ()):
        _push(layout, repository, each)
    for each in [content["config"], *content["layers"]] if "layers" in content else ():
        descriptor = Descriptor(media_type=each["mediaType"], digest=each["digest"], size=each["size"])
        repository.upload(descriptor, Blobs(str(layout / "blobs")))
    repository.put_manifest(top["digest"], data, top["mediaType"])
