"""A `.flox` that is removed and made again while its services run."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest

from esker.host import pidfd, runtime_directory
from esker.services.supervised import predecessor


@pytest.fixture
def removed(project):
    """Give a project whose `.flox` was removed and made again while a service ran, and the supervisor's pid."""
    project.runtime = f"{project.directory}/run/{runtime_directory.directory_name(project.dot_flox)}"
    project.declare("web")
    project.services.start()
    pid = project.record.supervisor.pid
    os.rename(project.dot_flox, f"{project.directory}/.flox-of-then")
    os.mkdir(project.dot_flox)
    shutil.rmtree(f"{project.directory}/.flox-of-then")
    project.runtime = f"{project.directory}/run/{runtime_directory.directory_name(project.dot_flox)}"
    yield project, pid
    with pidfd.opened(pid) as supervisor:
        if supervisor is not None:
            pidfd.send(supervisor, signal.SIGTERM)
            pidfd.wait(supervisor, 10)
    project.await_nothing()


def test_the_supervisor_of_then_is_named(removed):
    """`status` and the next start say which process to end; once that has ended, nothing is said."""
    project, pid = removed
    assert project.services.status()[0].status == "Stopped"
    note = project.services.status()[0].note
    assert note == predecessor.note(project.site) == project.services.remarks[0]
    assert re.findall(r"`kill (\d+)`", note) == [str(pid)]
    with pidfd.opened(pid) as supervisor:
        pidfd.send(supervisor, signal.SIGTERM)
        assert pidfd.wait(supervisor, 10)
    assert predecessor.note(project.site) is None
    assert project.services.remarks == ()


def test_a_supervisor_of_another_path_is_not_named(removed, monkeypatch):
    """The name of a socket is short, so another path may have one that begins alike."""
    project, _ = removed
    monkeypatch.setattr(predecessor, "_PATH", 0)
    other = f"{project.directory}/other"
    os.makedirs(f"{other}/.flox")
    site = type(project.site)(project=other, dot_flox=f"{other}/.flox", runtime=f"{project.directory}/run/x")
    assert predecessor.note(site) is None
