"""A stranger who owns a directory above a project exchanges the project while somebody activates it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults import exchanging

pytestmark = [
    pytest.mark.live("faults"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users"),
]

STRANGER = 12345
TRIES = int(os.environ.get("ESKER_RACED_TRIES", "4000"))
_HOOK = 'schema-version = "1.14.0"\n[hook]\non-activate = "echo {who} >> {file}"\n'
_ACTIVATIONS = """\
import collections, sys
from esker import Environment, EskerError
outcomes = collections.Counter()
for _ in range(int(sys.argv[2])):
    try:
        Environment(sys.argv[1]).variables()
        outcomes["activated"] += 1
    except EskerError as error:
        outcomes[type(error).__name__] += 1
    except OSError as error:
        outcomes[type(error).__name__] += 1
print(dict(outcomes))
"""


@pytest.fixture
def top():
    """Return a directory below /tmp that every user may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _project(directory: Path, who: str, uid: int, file: Path) -> None:
    (directory / ".flox/env").mkdir(parents=True)
    (directory / ".flox/env.json").write_text('{"name": "project", "version": 1}')
    (directory / ".flox/env/manifest.toml").write_text(_HOOK.format(who=who, file=file))
    subprocess.run(["chown", "-R", f"{uid}:{uid}", directory], check=True)


def test_a_stranger_s_hook_never_runs_however_the_project_is_exchanged(top):
    """The victim's own hook runs, or nothing does: the directory above is the stranger's to exchange."""
    ran = top / "ran"
    ran.touch()
    ran.chmod(0o666)
    (top / "stranger").mkdir()
    os.chown(top / "stranger", STRANGER, STRANGER)
    _project(top / "victim/project", "victim", 0, ran)
    _project(top / "stranger/P", "stranger", STRANGER, ran)
    link = top / "stranger/link"
    link.symlink_to(top / "victim/project")
    argv = [sys.executable, "-I", exchanging.__file__, str(STRANGER), top / "stranger/P", link]
    environ = {"PATH": os.environ["PATH"], "HOME": f"{top}/victim", "ESKER_STORE": f"{top}/victim/store"}
    with subprocess.Popen(argv) as attacker:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _ACTIVATIONS, top / "stranger/P", str(TRIES)],
                env=environ,
                cwd=top / "victim",
                capture_output=True,
                text=True,
                check=False,
            )
            assert attacker.poll() is None, "the attack went on until the end"
        finally:
            attacker.kill()
    assert done.returncode == 0, done.stderr
    hooks = ran.read_text().split()
    assert hooks.count("stranger") == 0, (hooks.count("stranger"), done.stdout)
    assert hooks.count("victim") > 0, done.stdout
