"""An image into a registry, cold, with one changed package, and unchanged: against skopeo and `docker push`.

Each first turn has a registry that is empty. skopeo copies the layout that Esker has written, so both send the same
blobs. Docker has loaded the same image, and compresses it when it pushes.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.image import CHANGED, Turns, copied, lines, measured, write
from bench.machine import Load, machine
from bench.measure import Cost, rounds, run
from bench.report import Figure
from bench.workspace import workspace
from esker.formats.oci.reference import parse
from esker.ship.image.layout import write_archive
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.push import push
from tests.support.containers.engine import DockerEngine
from tests.support.image_tools import RegistryServer, environ, program
from tests.support.images import builder

if TYPE_CHECKING:
    from pathlib import Path

    from bench.image import Packages
    from esker.ship.image.image import Builder, Image

_VERSIONS = ("1", "2")


class _Pushing(Turns):
    """A tool that sends the first image, then the second, and the second again."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._stack = ExitStack()
        self.host = ""

    def cold(self) -> Cost:
        self.end()
        shutil.rmtree(self._directory, ignore_errors=True)
        self.host = self._stack.enter_context(RegistryServer(self._directory)).host
        return self.send(0)

    def changed(self) -> Cost:
        return self.send(1)

    def unchanged(self) -> Cost:
        return self.send(1)

    def end(self) -> None:
        """End the registry."""
        self._stack.close()

    def send(self, number: int) -> Cost:
        """Send one of the two images."""
        raise NotImplementedError


class _Esker(_Pushing):
    def __init__(self, directory: Path, images: list[tuple[Image, Builder]]) -> None:
        super().__init__(directory)
        self._images = images

    def send(self, number: int) -> Cost:
        image, made = self._images[number]
        reference = parse(f"{self.host}/bench:1")

        def sent() -> None:
            with Registry(self.host, Credentials("/nonexistent/config.json", {})) as registry:
                push(reference, [image], made, registry)

        return measured(sent)


class _Skopeo(_Pushing):
    def __init__(self, directory: Path, layouts: list[Path]) -> None:
        super().__init__(directory)
        self._layouts = layouts

    def send(self, number: int) -> Cost:
        target = ["--dest-tls-verify=false", f"oci:{self._layouts[number]}:1", f"docker://{self.host}/bench:1"]
        return run([program("skopeo"), "--insecure-policy", "copy", "--quiet", *target], environment=environ())


class _Docker(_Pushing):
    def __init__(self, directory: Path, engine: DockerEngine) -> None:
        super().__init__(directory)
        self._engine = engine

    def send(self, number: int) -> Cost:
        name = f"{self.host}/bench:1"
        self._engine.docker("tag", f"bench:{_VERSIONS[number]}", name)
        return run(["docker", "push", "--quiet", name], environment=os.environ | self._engine.variables)


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load(apart=True)
    with DockerEngine() as engine, workspace() as space, ExitStack() as stack:
        packages = copied(space.directory / "packages")
        images, layouts = _images(space.directory, packages, engine)
        turns = {
            "esker": _Esker(space.directory / "registry-esker", images),
            "skopeo": _Skopeo(space.directory / "registry-skopeo", layouts),
            "docker push": _Docker(space.directory / "registry-docker", engine),
        }
        for each in turns.values():
            stack.callback(each.end)
        costs = rounds(turns, count, after=load.look)
        described = machine(space.uv)
        size = sum(layer.descriptor.size for layer in images[0][0].layers)
    return Figure(
        name="push",
        title=f"{size / 1e6:.0f} MB in {len(packages.layers)} layers, to Debian's registry on this machine",
        machine=described,
        load=load.highest,
        others=load.others,
        lines=lines(costs, turns, {"cold": 1 / 2}, unchanged=10),
        notes=("docker push compresses what the others have compressed already.",),
    )


def _images(
    directory: Path, packages: Packages, engine: DockerEngine
) -> tuple[list[tuple[Image, Builder]], list[Path]]:
    """Make both images, write their layouts, and have Docker load them."""
    images, layouts = [], []
    for version in _VERSIONS:
        made = builder(directory / "blobs")
        layout = directory / f"layout-{version}"
        image = write(made, packages.units(version), layout)
        archive = directory / "image.tar"
        with open(archive, "wb") as file:
            write_archive(file, [image], parse(f"bench:{version}"), made)
        engine.docker("load", "--quiet", "--input", str(archive))
        archive.unlink()
        (packages.directory / CHANGED / "changed").write_text("2")
        images.append((image, made))
        layouts.append(layout)
    return images, layouts
