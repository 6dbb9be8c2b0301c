"""The file that says which processes use the services that Flox runs."""

from __future__ import annotations

import json
import os

import pytest

from esker.host import process_id
from esker.services.flox import uses


def read(path, *use):
    """Return what a file with one use of this boot says."""
    contents = {"uses": [use], "started": ["web"], "holder": None}
    path.write_text(json.dumps({"boot": process_id.boot_id(), "contents": contents}))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return uses._read(str(path), directory).users("web")
    finally:
        os.close(directory)


def test_a_living_process_uses_a_service(tmp_path):
    """A process counts while it lives."""
    me = process_id.own()
    assert read(tmp_path / "x.json", "t", *me, ["web"]) == [os.getpid()]
    assert read(tmp_path / "x.json", "t", me.pid, me.start + 1, ["web"]) == []


@pytest.mark.parametrize("pid", ["self", "\0", None, 1.5, True])
def test_a_process_of_another_form_uses_nothing(tmp_path, pid):
    """What is no number is looked up nowhere: it would lead out of /proc."""
    assert read(tmp_path / "x.json", "t", pid, process_id.own().start, ["web"]) == []


def test_a_pid_leads_to_no_file_elsewhere(tmp_path):
    """The file may have come with the project, which would lead Esker to a file that looks like that of a process."""
    with open("/proc/self/stat") as file:
        (tmp_path / "stat").write_text(file.read())
    assert read(tmp_path / "x.json", "t", f"..{tmp_path}", process_id.own().start, ["web"]) == []
