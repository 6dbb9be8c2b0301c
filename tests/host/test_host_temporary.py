from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from esker.errors import HostError
from esker.host import temporary


def gone(path, seconds=20.0):
    """Wait until a path has vanished."""
    deadline = time.monotonic() + seconds
    while os.path.lexists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.lexists(path)


def test_a_directory_is_new_and_private(tmp_path):
    """Only this user can enter it, and two have different names."""
    first, second = temporary.make(str(tmp_path)), temporary.make(str(tmp_path))
    assert first != second
    assert os.stat(first).st_mode & 0o777 == 0o700
    assert os.path.dirname(first) == str(tmp_path)


def test_no_directory_can_be_made(tmp_path):
    """The error says where, and what to do."""
    with pytest.raises(HostError, match="cannot make a directory for temporary files") as caught:
        temporary.make(str(tmp_path / "nowhere"))
    assert "TMPDIR" in caught.value.hint


def test_only_what_was_made_here_is_removed(tmp_path):
    """Another directory stays, whoever names it."""
    made = temporary.make(str(tmp_path))
    (tmp_path / os.path.basename(made) / "deep/er").mkdir(parents=True)
    temporary.remove(made)
    assert not os.path.exists(made)
    temporary.remove(made)
    temporary.remove(str(tmp_path))
    assert tmp_path.exists()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no descriptors for processes")
def test_it_is_removed_after_the_program_that_took_our_place(tmp_path):
    """As long as that runs, the directory is there; after it ended, even by SIGKILL, it is not."""
    code = (
        "import os, sys; from esker.host import temporary\n"
        "path = temporary.make(sys.argv[1]); temporary.remove_after(path)\n"
        "os.execv('/bin/sh', ['sh', '-c', 'touch $0/x; echo $0; read line', path])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    path = process.stdout.readline().strip()
    assert os.path.exists(f"{path}/x")
    process.kill()
    process.communicate()
    assert gone(path)
