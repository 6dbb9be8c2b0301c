"""Public projects that use Flox: each is read, judged and activated as Flox and a plain bash would do it.

Their files are not part of the repository; where they are missing, this is skipped. What their hooks do is other people's
code, so all of it runs in a box without a network, on a copy.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tomllib

import pytest

from tests.support.box import boxed, reason_for_none
from tests.support.locks import PROJECTS, REAL, lock_id

COMPLETE = [path for path in (*PROJECTS, *REAL) if path.with_suffix(".toml").exists()]
BOOKKEEPING = {"_", "SHLVL", "OLDPWD", "ESKER_RUNTIME_DIR", "_ESKER_STARTS", "_ESKER_UNDO", "_FLOX_ACTIVE_ENVIRONMENTS"}
"""Variables in which a nested shell, and an activation that runs a hook, differ from a bash that sources files."""
DUMP = "env -0 >{0}.variables; alias -p >{0}.aliases; declare -F >{0}.functions; shopt -p >{0}.options; pwd >{0}.place"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMPLETE, reason="the public projects are not beside the repository"),
]


@pytest.fixture(scope="module")
def _box(tmp_path_factory):
    reason = reason_for_none(tmp_path_factory.mktemp("box"))
    if reason is not None:
        pytest.skip(reason)


class Copy:
    """A copy of a project in a box, beside a home and a store of its own."""

    def __init__(self, directory, lock):
        self.directory = directory
        self.project = directory / "project"
        self._lock = lock
        for name in ("home", "run", "tmp"):
            (directory / name).mkdir()
        (directory / "run").chmod(0o700)
        self.environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": f"{directory}/home",
            "LANG": "C.UTF-8",
            "TMPDIR": f"{directory}/tmp",
            "XDG_RUNTIME_DIR": f"{directory}/run",
            "ESKER_STORE": f"{directory}/store",
        }

    def renew(self):
        """Make the copy anew, as the project was published."""
        shutil.rmtree(self.project, ignore_errors=True)
        environment = self.project / ".flox/env"
        environment.mkdir(parents=True)
        for path in (self._lock, self._lock.with_suffix(".toml")):
            shutil.copy(path, environment)
        pointer = {"name": lock_id(self._lock).replace(".", "-"), "version": 1}
        (self.project / ".flox/env.json").write_text(json.dumps(pointer))

    def esker(self, *arguments):
        """Run Esker on the copy."""
        argv = [sys.executable, "-m", "esker", *arguments]
        return boxed(self.directory, argv, self.environ, cwd=self.project)

    def bash(self, script, environ):
        """Run a script in the project, in a bash that reads no other files."""
        return boxed(self.directory, ["bash", "--noprofile", "--norc", "-c", script], environ, cwd=self.project)

    def variables(self, name):
        """Return the variables that a shell has written down."""
        text = (self.directory / f"{name}.variables").read_text()
        return dict(entry.split("=", 1) for entry in text.split("\0") if entry)

    def dumped(self, name):
        """Return all that a shell has written down under a name."""
        kept = {key: value for key, value in self.variables(name).items() if key not in BOOKKEEPING}
        parts = ("aliases", "functions", "options", "place")
        return {"variables": kept, **{part: (self.directory / f"{name}.{part}").read_text() for part in parts}}


@pytest.fixture(params=COMPLETE, ids=lock_id)
def copy(request, tmp_path, _box):
    """Give a fresh copy of a project."""
    made = Copy(tmp_path, request.param)
    made.renew()
    return made


def significant(value):
    """Return a value of a manifest without what is empty: old locks have empty tables, lists and null for nothing."""
    if isinstance(value, dict):
        inner = {key: significant(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each not in ({}, [], None)}
    return value


def test_its_staleness_is_judged_right(copy):
    """A lock is current if the manifest in it says what the file says, version and all, and stale otherwise.

    `lock --check`, `lock` and `activate --locked` agree, and `lock` leaves a current lock as it is.
    """
    path = copy.project / ".flox/env/manifest.lock"
    data = path.read_bytes()
    lock = json.loads(data)
    own = lock["compose"]["composer"] if "compose" in lock else lock["manifest"]
    declared = tomllib.loads(path.with_suffix(".toml").read_text())
    is_current = significant(own) == significant(declared)
    check = copy.esker("lock", "--check")
    assert (check.returncode == 0) == is_current, check.stdout
    held = copy.esker("activate", "--locked", "--without-packages", "--json")
    assert ("code: stale-lock" not in held.stdout) == is_current, held.stdout
    if is_current:
        assert "up to date" in copy.esker("lock").stdout
        assert path.read_bytes() == data
    here = f"{os.uname().machine}-{sys.platform}"
    names = {package["install_id"] for package in lock["packages"] if package["system"] == here}
    assert set(copy.esker("list", "-n").stdout.split()) >= names


def test_it_is_activated_as_a_bash_that_sources_its_scripts(copy):
    """Variables, aliases, functions, options of the shell and directory are the same; only packages are left out."""
    manifest = tomllib.loads((copy.project / ".flox/env/manifest.toml").read_text())
    given = copy.esker("activate", "--without-packages", "-c", DUMP.format(copy.directory / "given"))
    assert given.returncode == 0, given.stdout
    assert "Going on without" in given.stdout
    expected(copy, manifest)
    wanted = copy.dumped("expected")
    for part, got in copy.dumped("given").items():
        assert got == wanted[part], given.stdout


def expected(copy, manifest):
    """Write down what a bash has that exports the variables of a manifest and sources its scripts."""
    copy.renew()
    text = 'schema-version = "1.14.0"\n'
    (copy.project / ".flox/env/manifest.toml").write_text(text)
    (copy.project / ".flox/env/manifest.lock").unlink()
    bare = copy.esker("activate", "--", "sh", "-c", f"env -0 >{copy.directory}/bare.variables")
    assert bare.returncode == 0, bare.stdout
    copy.renew()
    exports = "".join(f'export {name}="{value}"\n' for name, value in sorted(manifest.get("vars", {}).items()))
    files = {"hook": exports + manifest.get("hook", {}).get("on-activate", "")}
    files |= {name: manifest.get("profile", {}).get(name, "") for name in ("common", "bash")}
    for name, script in files.items():
        (copy.directory / name).write_text(script)
    directory = shlex.quote(str(copy.directory))
    copy.bash(f"source {directory}/hook; env -0 >{directory}/hooked.variables", copy.variables("bare"))
    script = f"source {directory}/common; source {directory}/bash; {DUMP.format(directory + '/expected')}"
    copy.bash(script, copy.variables("hooked"))
