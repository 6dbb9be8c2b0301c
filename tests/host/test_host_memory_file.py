from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from esker.host.memory_file import descriptor_path, memory_file


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_child_that_inherits_it_reads_the_text(platform, tmp_path, monkeypatch):
    """The bytes of the text arrive, nothing has a name, and the number is out of the way."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    descriptor = memory_file("a\n\udcff", lowest=100)
    try:
        path = descriptor_path(descriptor)
        done = subprocess.run(["cat", path], pass_fds=[descriptor], capture_output=True, check=True)
        assert done.stdout == b"a\n\xff"
        assert descriptor >= 100
        assert os.listdir(tmp_path) == []
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_a_low_limit_of_open_files_is_no_obstacle():
    """Where no descriptor may have the number that is wanted, it is a lower one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        descriptor = memory_file("a", lowest=100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 10 <= descriptor < 64
    os.close(descriptor)
