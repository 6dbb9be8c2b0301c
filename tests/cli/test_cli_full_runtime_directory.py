"""A runtime directory on a full disk: one line names it, and the hint loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.projects import EMPTY, write_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system and be another user in it"),
]
MANIFEST = (
    EMPTY.replace("1.14.0", "1.15.0")
    + """
[hook]
on-activate = "export A=1"
on-deactivate = "true"
[services]
web.command = "sleep 300"
"""
)
MOUNTED = """
mount -t tmpfs -o nr_inodes=$2,mode=700 none "$1"
i=$3; while [ $i -gt 0 ]; do i=$((i-1)); touch "$1/mine$i"; done
user=$4; shift 4
if [ $user = 0 ]; then chmod 711 "$place"; "$@"; else unshare --user --map-user=$user --map-group=$user "$@"; fi
status=$?
for file in "$place"/mine*; do test -e "$file" || exit 99; done
exit $status
"""


@pytest.fixture
def full(environ, tmp_path):
    """Give a function that runs a command as a user whose runtime directory has room for so many files more."""
    directory = write_project(tmp_path, MANIFEST)

    def run(*arguments, user, room=0):
        place = tmp_path / "run" if user else f"/tmp/esker-{os.geteuid()}"  # a private mount
        os.makedirs(place, mode=0o711, exist_ok=True)
        command = [sys.executable, "-m", "esker", *arguments]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", MOUNTED, "sh", place, str(room + 4), "3", str(user), *command],
            cwd=directory,
            env=environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "place": str(place)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return done.returncode, done.stderr, str(place)

    return run


@pytest.mark.parametrize("user", [0, 1234])
@pytest.mark.parametrize(
    "command", [["activate", "--", "true"], ["activate", "-s", "--", "true"], ["services", "start"]]
)
def test_a_full_runtime_directory_is_named_with_a_mend_that_loses_nothing(full, command, user):
    """The user's own directory in it cannot be made, nor the file that says who uses the environment."""
    status, told, place = full(*command, user=user)
    assert status == 1, told
    line, hint, *_ = told.splitlines()
    assert line.startswith("✘ ERROR: ")
    assert f"`{place}/" in line
    assert line.endswith(": the disk is full")
    assert hint.startswith(f"hint: make room in `{place}`")
    assert "rm " not in told
    assert "mv " not in told
    assert ("XDG_RUNTIME_DIR" in told) == bool(user)  # root's directory does not depend on it


@pytest.mark.parametrize("room", range(1, 4))
def test_a_runtime_directory_that_fills_up_meanwhile_is_told_too(full, room):
    """Whichever file is the first that has no room: the directory of the services, their socket, the list of users."""
    status, told, place = full("services", "start", user=1234, room=room)
    if status == 0:
        return
    assert f"`{place}/esker" in told.splitlines()[0]
    assert told.splitlines()[0].endswith(": the disk is full"), told
    assert told.splitlines()[1].startswith(f"hint: make room in `{place}"), told
