"""The data of services are copied from another checkout of the project, once, and whole or not at all."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from esker.errors import DataNotCopied, HostError, NotFound, NotTrusted
from esker.host import process_id, trees
from esker.host.process_id import ProcessId
from esker.services.supervised.sibling_data import copy_data, settle
from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord
from esker.settings import Settings
from tests.support.projects import write_project

GONE = ProcessId((1 << 22) - 1, 1)


@pytest.fixture
def checkouts(tmp_path):
    """Give two checkouts of a project: `main`, which has data, and `other`, which has none."""
    main, other = (write_project(tmp_path / name) for name in ("main", "other"))
    data = main / ".flox/cache/postgres"
    (data / "base/1").mkdir(parents=True)
    data.chmod(0o700)
    (data / "PG_VERSION").write_text("18\n")
    (data / "base/1/table").write_bytes(os.urandom(3_000_000))
    (data / "base/1/table").chmod(0o600)
    os.utime(data / "base/1/table", ns=(1_000, 2_000))
    (data / "current").symlink_to("base/1")
    (main / ".flox/cache/dump.rdb").write_text("REDIS")
    (main / ".flox/cache/esker").mkdir()
    (main / ".flox/cache/esker/ports.json").write_text("{}")
    return main, other


def copied(to, path, **variables):
    """Copy the data of the checkout at `path` and return the names."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return copy_data(str(to), str(path), Settings(environ), environ)


def names(checkout):
    """Return the names in the cache of a checkout that are not Esker's."""
    cache = checkout / ".flox/cache"
    return sorted(set(os.listdir(cache)) - {"esker"}) if cache.exists() else []


def refused(checkouts, reason):
    """Return the error of a copy from `main` to `other`, which has changed nothing."""
    main, other = checkouts
    before = names(other)
    with pytest.raises(DataNotCopied) as error:
        copied(other, main)
    assert (error.value.reason, error.value.code) == (reason, "data-not-copied")
    assert error.value.hint
    assert names(other) == before
    assert not leftovers(other)
    return error.value.message


def leftovers(checkout):
    """Return what an unfinished copy has left."""
    return list((checkout / ".flox/cache/esker").glob("data-from*"))


def git(directory, *arguments):
    """Run git in a directory, with a user of its own."""
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, *arguments], cwd=directory, check=True, capture_output=True)


def test_all_data_are_copied_and_nothing_else(checkouts):
    """Contents, modes, times, owners and links are the same; Esker's own files stay where they are."""
    main, other = checkouts
    if os.geteuid() == 0:
        os.chown(main / ".flox/cache/postgres/base/1/table", 65534, 65534)
    assert copied(other, main) == ["dump.rdb", "postgres"]
    assert names(other) == ["dump.rdb", "postgres"]
    for path in ("postgres", "postgres/PG_VERSION", "postgres/base/1", "postgres/base/1/table", "dump.rdb"):
        before, after = (os.lstat(each / ".flox/cache" / path) for each in (main, other))
        for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_size"):
            assert getattr(after, field) == getattr(before, field), (path, field)
        assert after.st_ino != before.st_ino
    table = "postgres/current/table"
    assert (other / ".flox/cache" / table).read_bytes() == (main / ".flox/cache" / table).read_bytes()
    assert os.readlink(other / ".flox/cache/postgres/current") == "base/1"
    assert not (other / ".flox/cache/esker/ports.json").exists()
    assert not leftovers(other)
    (other / ".flox/cache/dump.rdb").write_text("another")
    assert (main / ".flox/cache/dump.rdb").read_text() == "REDIS"


def test_sockets_and_virtual_environments_are_left_out(checkouts, monkeypatch):
    """The socket of a server that was killed, and a virtual environment, are of use in one place alone."""
    main, other = checkouts
    (main / ".flox/cache/venv").mkdir()
    (main / ".flox/cache/venv/pyvenv.cfg").write_text("")
    os.mkfifo(main / ".flox/cache/postgres/pipe")
    monkeypatch.chdir(main / ".flox/cache/postgres")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
    copied(other, main)
    assert names(other) == ["dump.rdb", "postgres"]
    assert sorted(os.listdir(other / ".flox/cache/postgres")) == ["PG_VERSION", "base", "current"]


def test_data_are_copied_only_once(checkouts):
    """Where there are data they stay; the second copy names them."""
    main, other = checkouts
    copied(other, main)
    message = refused(checkouts, "present")
    assert message == f"there are data here already: `dump.rdb`, `postgres` in `{other}/.flox/cache`"


def test_empty_directories_are_no_data(checkouts):
    """What a hook makes for its server, `mkdir -p`, does not stand in the way."""
    main, other = checkouts
    (other / ".flox/cache/postgres/base").mkdir(parents=True)
    copied(other, main)
    assert (other / ".flox/cache/postgres/PG_VERSION").read_text() == "18\n"


def test_where_there_is_nothing_to_copy(checkouts):
    """A sibling without data is told, so that nobody believes that something was copied."""
    main, other = checkouts
    assert refused((other, main), "present").startswith("there are data here already")
    trees.remove_tree(str(main / ".flox/cache"))
    assert refused(checkouts, "nothing") == f"there are no data of services in `{main}/.flox/cache`"


def record(checkout, supervisor, sessions=()):
    """Write the record of a supervisor of the services of a checkout."""
    dot_flox = f"{checkout}/.flox"
    file = RecordFile(dot_flox)
    file.write(
        SupervisorRecord(
            token="t",
            dot_flox=dot_flox,
            socket="/s",
            host=os.uname().nodename,
            boot=process_id.boot_id(),
            uid=os.geteuid(),
            guardian=GONE,
            supervisor=supervisor,
            sessions=sessions,
        )
    )
    return file


def test_a_sibling_that_runs_is_refused(checkouts):
    """Data that change while they are copied would be damaged."""
    main, _ = checkouts
    record(main, process_id.own()).close()
    message = refused(checkouts, "running")
    assert message == f"services of `{main}` are running, so that its data change while they are copied"


def test_a_server_without_its_supervisor_is_refused(checkouts):
    """A supervisor that was killed may have left a server, which still writes."""
    main, _ = checkouts
    record(main, GONE, sessions=(process_id.own(),)).close()
    assert "are running" in refused(checkouts, "running")


def test_a_supervisor_that_is_gone_is_no_hindrance(checkouts):
    """The record of a supervisor that has ended, with all that it started, says nothing."""
    main, other = checkouts
    record(main, GONE, sessions=(GONE,)).close()
    assert copied(other, main) == ["dump.rdb", "postgres"]


def test_a_command_that_holds_the_sibling_is_refused(checkouts, monkeypatch):
    """Services that start there at this moment hold the record."""
    main, _ = checkouts
    monkeypatch.setattr("esker.services.supervised.sibling_data._PATIENCE", 0.0)
    file = record(main, GONE)
    assert file.try_acquire()
    assert "are running" in refused(checkouts, "running")
    file.close()


def test_services_that_run_here_are_refused(checkouts):
    """Nothing is put below a running server."""
    record(checkouts[1], process_id.own()).close()
    assert refused(checkouts, "running") == "services are running here"


def test_a_directory_without_an_environment(checkouts, tmp_path):
    """The path is that of a checkout, and not of a directory above it."""
    with pytest.raises(NotFound, match="Did not find an environment in"):
        copied(checkouts[1], tmp_path)
    with pytest.raises(NotFound, match="there is no directory"):
        copied(checkouts[1], tmp_path / "missing")


def test_a_checkout_is_not_its_own_sibling(checkouts):
    """The checkout itself is refused, by whichever path."""
    main, _ = checkouts
    with pytest.raises(DataNotCopied, match="is this checkout itself") as error:
        copied(main, f"{main}/../main")
    assert error.value.reason == "another-project"


def test_environments_of_other_names_are_other_projects(tmp_path):
    """Outside of git the name decides."""
    one, two = write_project(tmp_path / "one", name="one"), write_project(tmp_path / "two", name="two")
    message = refused((one, two), "another-project")
    assert message.endswith(
        "is not a checkout of the same project: its environment is called `one`, and this one `two`"
    )


@pytest.mark.slow
def test_a_worktree_is_a_checkout_of_the_same_project(checkouts, tmp_path):
    """Two working trees of one repository belong together, even if their environments have other names."""
    main, _ = checkouts
    git(main, "init")
    (main / ".gitignore").write_text(".flox/cache\n")
    git(main, "add", ".")
    git(main, "commit", "-m", "first")
    git(main, "worktree", "add", "../tree")
    (tmp_path / "tree/.flox/env.json").write_text('{"name": "tree", "version": 1}')
    assert copied(tmp_path / "tree", main) == ["dump.rdb", "postgres"]


@pytest.mark.slow
def test_a_clone_is_a_checkout_of_the_same_project(checkouts, tmp_path):
    """A clone has the first commit in common."""
    main, _ = checkouts
    git(main, "init")
    git(main, "add", ".flox/env", ".flox/env.json")
    git(main, "commit", "-m", "first")
    git(tmp_path, "clone", "main", "clone")
    assert copied(tmp_path / "clone", main) == ["dump.rdb", "postgres"]


@pytest.mark.slow
def test_a_repository_of_its_own_is_another_project(checkouts):
    """Without a common history the same name counts for nothing; a repository without a commit has no history."""
    main, other = checkouts
    for number, checkout in enumerate(checkouts):
        git(checkout, "init")
        git(checkout, "add", ".flox/env.json")
        git(checkout, "commit", "-m", f"first of {number}")
    assert refused(checkouts, "another-project").endswith("their histories have no commit in common")
    trees.remove_tree(str(other / ".git"))
    git(other, "init")
    assert refused((main, other), "another-project").endswith("their histories have no commit in common")


def test_another_place_in_the_repository_is_another_project(tmp_path):
    """Two projects of one repository are two, though their histories are one."""
    git(tmp_path, "init")
    api, web = write_project(tmp_path / "api"), write_project(tmp_path / "web")
    assert "it lies at `api/` of its repository, and this one at `web/`" in refused((api, web), "another-project")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../secret", "{cache}/dump.rdb"])
def test_a_link_out_of_the_data_is_refused(checkouts, target):
    """As with a tablespace of PostgreSQL: two servers must not write to one place. An absolute link leads back, too."""
    main, other = checkouts
    link = main / ".flox/cache/postgres/link"
    link.symlink_to(target.format(cache=main / ".flox/cache"))
    message = refused(checkouts, "link")
    assert message.startswith(f"`{link}` is a link to `")
    link.unlink()
    (main / ".flox/cache/top").symlink_to("/etc")
    assert "`/etc`" in refused(checkouts, "link")
    assert names(other) == []


def test_a_project_that_others_can_change_is_refused(checkouts):
    """Until it is trusted, nothing of it is taken; the hint says how."""
    main, other = checkouts
    (main / ".flox").chmod(0o777)
    with pytest.raises(NotTrusted, match="every user can write to") as error:
        copied(other, main)
    assert f"esker trust {main}" in error.value.hint
    assert names(other) == []
    assert copied(other, main, ESKER_TRUST="1") == ["dump.rdb", "postgres"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's project")
def test_another_users_project_is_refused(checkouts):
    """The checkout of another user is refused, and so is a copy into one."""
    main, other = checkouts
    os.chown(main / ".flox", 12345, 12345)
    for to, path in ((other, main), (main, other)):
        with pytest.raises(NotTrusted, match="belongs to uid 12345"):
            copied(to, path)


@pytest.mark.slow
def test_a_copy_that_fails_leaves_nothing(checkouts):
    """A tree of too many levels, as a full disk would, ends the copy: neither data nor anything unfinished is here."""
    main, other = checkouts
    (main / ".flox/cache/postgres" / "/".join("d" * 120)).mkdir(parents=True)
    with pytest.raises(HostError, match=f"cannot copy the data of `{main}`: directories more than 100 levels deep"):
        copied(other, main)
    assert (names(other), leftovers(other)) == ([], [])


def test_a_copy_that_was_killed_before_it_was_whole_is_made_again(checkouts):
    """What is left of it is removed by the next one, and counts as no data."""
    main, other = checkouts
    left = other / ".flox/cache/esker/data-from.new-0123/data/postgres"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("half")
    settle(f"{other}/.flox")
    assert names(other) == []
    copied(other, main)
    assert (other / ".flox/cache/postgres/PG_VERSION").read_text() == "18\n"
    assert not leftovers(other)


def half_moved(other):
    """Lay out what a process leaves that is killed when one part of two has been moved."""
    complete = other / ".flox/cache/esker/data-from"
    (complete / "postgres").mkdir(parents=True)
    (complete / "postgres/PG_VERSION").write_text("18\n")
    (other / ".flox/cache/dump.rdb").write_text("REDIS")
    return complete


def test_a_copy_that_was_killed_after_it_was_whole_is_put_in_place(checkouts):
    """The next start moves the rest, also over an empty directory that a hook has made; the next copy finds data."""
    main, other = checkouts
    half_moved(other)
    (other / ".flox/cache/postgres/base").mkdir(parents=True)
    settle(f"{other}/.flox")
    assert names(other) == ["dump.rdb", "postgres"]
    assert not leftovers(other)
    settle(f"{other}/.flox")
    refused((main, other), "present")


def test_what_was_made_in_its_place_is_not_replaced(checkouts):
    """If somebody has made data meanwhile, the copy waits, and the error names both."""
    _, other = checkouts
    complete = half_moved(other)
    (other / ".flox/cache/postgres").mkdir()
    (other / ".flox/cache/postgres/PG_VERSION").write_text("17\n")
    with pytest.raises(DataNotCopied, match="was made while data were copied to that place") as error:
        settle(f"{other}/.flox")
    assert str(complete) in error.value.hint
    assert (other / ".flox/cache/postgres/PG_VERSION").read_text() == "17\n"
    assert Path(complete, "postgres").is_dir()


def test_the_cache_stays_closed(checkouts):
    """The cache that is made for the data is as closed as any other."""
    main, other = checkouts
    copied(other, main)
    assert stat.S_IMODE(os.stat(other / ".flox/cache").st_mode) == 0o700
