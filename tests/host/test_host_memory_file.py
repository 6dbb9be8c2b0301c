import os
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
