"""What the tests of an image's contents share: a channel, and a function that works out an image of a project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.projects import write_project


@pytest.fixture
def channel():
    """Give a conda channel on loopback, empty."""
    from tests.support.conda_channel import CondaChannel

    with CondaChannel() as served:
        yield served


@pytest.fixture
def project(tmp_path):
    """Give a directory that is a git repository."""
    path = tmp_path / "project"
    path.mkdir()
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    return path


@pytest.fixture
def made(environ, project, store):
    """Give a function that locks a manifest and works out what the image of it holds for this machine's system."""
    return lambda manifest, directory=project, **options: image_of(directory, manifest, environ, store, **options)


def image_of(
    project: Path, manifest: str, environ, store, *, system=None, mode="run", inputs=(), specified=None, locked=False
):
    """Write and lock a project, and return the contents of its image."""
    from esker.declare.load import load
    from esker.progress import Silent
    from esker.runtimes.native.locking import lock_project
    from esker.settings import Settings
    from esker.ship.content.contents import contents
    from esker.ship.content.making import Making

    if not (project / ".flox").exists():
        write_project(project)
    (project / ".flox/env/manifest.toml").write_text('schema-version = "1.14.0"\n' + manifest)
    settings = Settings(environ)
    declaration = load(str(project))
    lock, _ = lock_project(declaration, settings, settings.interpreters(), progress=Silent())
    making = Making(declaration, lock, store, settings, Silent(), mode=mode, inputs=inputs, locked=locked)
    making = making._replace(services=specified and specified(declaration))
    with store.using():
        return contents(making, system or settings.system)
