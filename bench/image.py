"""The layers of an image, cold, with one changed package, and unchanged: against `docker build`, mise and umoci.

All make the same layers of the same files. Docker's build does not compress, and leaves an image that can run. It
copies the changed package last, or it would make the layers after that one again too. mise writes a compressed layout,
each layer as a tool. So does umoci, one layer after the other, and it keeps nothing from one time to the next.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bench import image_packages, mise
from bench.conda import conda_project
from bench.machine import Load, machine
from bench.measure import Cost, rounds, run
from bench.report import Figure, Line, ratio, wall
from bench.workspace import ESKER, workspace
from esker.formats.oci.configuration import Configuration
from esker.formats.oci.reference import parse
from esker.ship.image.layout import write_layout
from esker.ship.image.planning import plan
from tests.support.conda_channel import CondaChannel, many
from tests.support.containers.engine import DockerEngine
from tests.support.image_tools import environ, program
from tests.support.images import AMD64, builder, tree_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.workspace import Workspace
    from esker.formats.image_lock import LockedLayer
    from esker.ship.image.image import Builder, Image
    from esker.ship.image.unit import Unit

__all__ = ["CHANGED", "Packages", "Turns", "copied", "figure", "measured", "write"]

CHANGED = "postgresql-17"
"""The package that gets a new version: 50 MB, so a layer of its own."""


class Packages(NamedTuple):
    """The packages on disk, and the layers that they make."""

    directory: Path
    layers: tuple[tuple[str, ...], ...] = ()
    """The names of the packages of each layer."""
    size: int = 0

    def units(self, version: str = "1") -> list[Unit]:
        """Return the units, one of them in this version; each is read when its layer is made."""
        return [
            tree_unit(each, self.directory / each, f"/opt/esker/{each}", version=version if each == CHANGED else "1")
            for each in sorted(os.listdir(self.directory))
        ]


def copied(directory: Path) -> Packages:
    """Copy the packages, so that one of them can be changed, and find out which layers they make."""
    shutil.copytree(image_packages.ROOT.path(), directory, symlinks=True)
    packages = Packages(directory)
    units = packages.units()
    layers = tuple(tuple(unit.name for unit in layer.units) for layer in plan(units, codec="none"))
    return packages._replace(layers=layers, size=sum(unit.size for unit in units))


def measured(call: Callable[[], object]) -> Cost:
    """Return what a call in this process costs, with all its threads."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    call()
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took)


def write(made: Builder, units: list[Unit], layout: Path) -> Image:
    """Make the image of the units and write it into a layout."""
    image = made.image(units, Configuration(), AMD64)
    write_layout(str(layout), [image], parse("bench:1"), made)
    return image


class Turns:
    """What a tool does in each round: everything, then with one changed package, then once more.

    The costs of the second and third are kept here, because a round has one cost for each subject.
    """

    def __init__(self) -> None:
        self.changed_costs: list[Cost] = []
        self.unchanged_costs: list[Cost] = []

    def __call__(self) -> Cost:
        """Take the three turns, and return the cost of the first."""
        cold = self.cold()
        self.changed_costs.append(self.changed())
        self.unchanged_costs.append(self.unchanged())
        return cold

    def cold(self) -> Cost:
        """Do everything."""
        raise NotImplementedError

    def changed(self) -> Cost:
        """Do what one changed package asks for."""
        raise NotImplementedError

    def unchanged(self) -> Cost:
        """Do it once more."""
        raise NotImplementedError


class _Esker(Turns):
    """Esker in this process, with what the turn before has locked."""

    def __init__(self, directory: Path, packages: Packages, codec: str) -> None:
        super().__init__()
        self._directory = directory
        self._codec = codec
        self._first, self._second = packages.units(), packages.units("2")
        self._locked: tuple[LockedLayer, ...] = ()

    def cold(self) -> Cost:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()
        self._locked = ()
        return self._turn(self._first)

    def changed(self) -> Cost:
        return self._turn(self._second)

    def unchanged(self) -> Cost:
        return self._turn(self._second)

    def _turn(self, units: list[Unit]) -> Cost:
        made = builder(self._directory / "blobs", self._codec, locked=self._locked)
        cost = measured(lambda: write(made, units, self._directory / "layout"))
        self._locked = made.locked_layers()
        return cost


class _Docker(Turns):
    """`docker build`: each layer is copied into an image that was empty."""

    def __init__(self, packages: Packages, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._packages = packages
        self._variables = os.environ | variables
        layers = sorted(packages.layers, key=lambda names: CHANGED in names)
        copies = [f"COPY {' '.join(names)} /opt/esker/{names[0]}/" for names in layers]
        (packages.directory / "Dockerfile").write_text("\n".join(["FROM scratch", *copies, ""]))

    def cold(self) -> Cost:
        # The engine's room is small. What an image is made of can only be removed after the image.
        for what in ("image", "builder"):
            run(["docker", what, "prune", "--all", "--force"], environment=self._variables)
        return self._build("--no-cache")

    def changed(self) -> Cost:
        (self._packages.directory / CHANGED / "changed").write_text(str(len(self.changed_costs)))
        return self._build()

    def unchanged(self) -> Cost:
        return self._build()

    def _build(self, *options: str) -> Cost:
        command = ["docker", "build", "--quiet", *options, "--tag", "bench:1", str(self._packages.directory)]
        return run(command, environment=self._variables)


class _Mise(Turns):
    """`mise oci build`: each layer is a tool that is linked to a directory."""

    def __init__(self, directory: Path, packages: Packages, space: Workspace, program: str) -> None:
        super().__init__()
        self._directory = directory
        variables = {"MISE_CACHE_DIR": str(directory / "cache"), "MISE_EXPERIMENTAL": "1", "MISE_OFFLINE": "1"}
        self._space = replace(space, environment={**space.environment, **variables})
        self._program = program
        directory.mkdir()
        tools = {f"npm:{names[0]}": _joined(directory / "joined", packages, names) for names in packages.layers}
        (directory / "mise.toml").write_text("\n".join(["[tools]", *(f'"{name}" = "1"' for name in tools), ""]))
        self._run("trust", "--quiet")
        for name, source in tools.items():
            self._run("link", f"{name}@1", str(source))
        (self._changed,) = directory.glob(f"joined/*/{CHANGED}")

    def cold(self) -> Cost:
        for kept in (self._directory / "layout", *self._directory.glob("cache/*/*/oci-layers")):
            shutil.rmtree(kept, ignore_errors=True)
        return self._build()

    def changed(self) -> Cost:
        (self._changed / "changed").write_text(str(len(self.changed_costs)))
        return self._build()

    def unchanged(self) -> Cost:
        return self._build()

    def _build(self) -> Cost:
        return self._run("oci", "build", "--from", "scratch", "--no-mise", "--output", str(self._directory / "layout"))

    def _run(self, *arguments: str) -> Cost:
        return self._space.run(self._program, *arguments, directory=self._directory)


class _Umoci:
    """umoci: a layout, to which it adds one layer after the other."""

    def __init__(self, directory: Path, packages: Packages) -> None:
        self._directory = directory
        self._sources = {names[0]: _joined(directory / "joined", packages, names) for names in packages.layers}

    def __call__(self) -> Cost:
        """Make the layout."""
        layout = self._directory / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        cost = self._run("init", "--layout", str(layout)) + self._run("new", "--image", f"{layout}:1")
        for name, source in self._sources.items():
            cost += self._run("insert", "--image", f"{layout}:1", str(source), f"/opt/esker/{name}")
        return cost

    def _run(self, *arguments: str) -> Cost:
        return run([program("umoci"), *arguments], environment=environ())


def _joined(directory: Path, packages: Packages, names: tuple[str, ...]) -> Path:
    """Return a directory with hard links of several packages; making it is not measured."""
    for name in names:
        source, target = packages.directory / name, directory / names[0] / name
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    return directory / names[0]


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load(apart=True)
    with DockerEngine() as engine, workspace() as space:
        packages = copied(space.directory / "packages")
        turns = {
            "esker, gzip": _Esker(space.directory / "gzip", packages, "gzip"),
            "esker, zstd": _Esker(space.directory / "zstd", packages, "zstd"),
            "docker build": _Docker(packages, engine.variables),
        }
        if program_of_mise := mise.installed(space):
            turns["mise oci build"] = _Mise(space.directory / "mise", packages, space, program_of_mise)
        umoci = _Umoci(space.directory / "umoci", packages)
        with CondaChannel(many()) as channel:
            project = conda_project(space, channel, "many-059")
            space.run(ESKER, "image", "build", "-d", project)
        time.sleep(0.1)  # what has just changed is not kept
        whole = partial(space.run, ESKER, "image", "build", "-d", project)
        whole()
        costs = rounds({**turns, "umoci": umoci, "whole command": whole}, count, after=load.look)
        command = costs.pop("whole command")
        described = machine(space.uv)
    return Figure(
        name="image",
        title=f"{packages.size / 1e6:.0f} MB in {len(packages.layers)} layers",
        machine=described,
        load=load.highest,
        others=load.others,
        lines=(
            *lines(costs, turns, {"cold": 1 / 5, "one package changed": 1 / 4}, unchanged=10),
            wall("`esker image build` of 60 conda packages, unchanged, whole command", command, aim=60),
        ),
        notes=(
            "docker build does not compress, and leaves an image that can run; umoci keeps nothing for a second time.",
            *(() if program_of_mise else (mise.ABSENT,)),
        ),
    )


def lines(
    costs: Mapping[str, tuple[Cost, ...]], turns: Mapping[str, Turns], aims: Mapping[str, float], *, unchanged: float
) -> tuple[Line, ...]:
    """Return what each subject took, and how much of each peer the first subject took.

    `aims` has the most that the ratio to the first peer may be for each turn, `unchanged` the aim of the third in ms.
    """
    printed = []
    taken = {"cold": costs} | {
        title: {name: tuple(getattr(each, which)[1:]) for name, each in turns.items()}  # the first warmed up
        for title, which in (("one package changed", "changed_costs"), ("unchanged", "unchanged_costs"))
    }
    for title, by_subject in taken.items():
        for name, values in by_subject.items():
            if title == "unchanged":
                printed.append(wall(f"{name}, {title}", values, aim=unchanged if name.startswith("esker") else None))
            else:
                printed.append(wall(f"{name}, {title}", values, "s"))
        ours, *peers = (wall(f"{name}, {title}", values, "s") for name, values in by_subject.items())
        peers = [peer for peer in peers if not peer.title.startswith("esker")]
        printed += [ratio(ours, peer, aim=None if number else aims.get(title)) for number, peer in enumerate(peers)]
    return tuple(printed)
