"""Under which user services run, with root as the caller and as an ordinary user."""

from __future__ import annotations

import os
import stat
import tempfile

import pytest

from esker.errors import ServiceError, ServiceFailed
from esker.host import accounts, process_table
from esker.host.spawn import Identity
from esker.services.specification import CheckSpec
from esker.services.supervised import identity

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start services as another user")
WHO = "id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; echo up; exec sleep 1000"
UP = CheckSpec(form="log", target=("up",))
NOBODY = 65534


def outside(pid):
    """The uid of a process as the machine sees it, in whatever namespace it lives."""
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))


@pytest.fixture
def secret():
    """A file of root's that only root may read, in a place that everybody may enter."""
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as file:
        file.write("root's alone")
        file.flush()
        yield file.name


@root
def test_roots_services_run_as_nobody(project, secret):
    """In root's own project a service is nobody, without groups, gains nothing, and reads nothing of root's."""
    project.declare("web", f"cat {secret}; {WHO}", check=UP)
    with project.services.lease() as held:
        (found,) = held.statuses
        assert outside(found.pid) == NOBODY
        assert (found.user, found.note) == (accounts.account(NOBODY).name, None)
    *refused, uid, gid, groups, privileges, _ = project.services.logs("web")
    assert "Permission denied" in refused[0]
    assert (uid, gid, groups, privileges) == (f"{NOBODY}", f"{NOBODY}", f"{NOBODY}", "NoNewPrivs:\t1")


@root
def test_services_of_a_users_project_run_as_that_user(project):
    """In another user's project root's services are that user's, and so is what root makes there."""
    os.chown(project.directory, 4242, 4242)
    os.chown(project.dot_flox, 4242, 4242)
    project.declare("web", f"mkdir .flox/cache/data; {WHO}", check=UP)
    with project.services.lease() as held:
        assert outside(held.statuses[0].pid) == 4242
    logs = ("log", "log/services", "log/services/web.log", "log/services/supervisor.log")
    for path in ("cache", "cache/esker", "cache/esker/lock", "cache/data", *logs):
        assert os.stat(f"{project.dot_flox}/{path}").st_uid == 4242, path


@root
def test_the_declared_user(project):
    """`user` names the user, by name or uid; `root` opts out; an unknown one is an error."""
    project.declare("daemon", user="daemon")
    project.declare("number", user="4242")
    project.declare("root", user="root")
    with project.services.lease() as held:
        uids = {found.name: outside(found.pid) for found in held.statuses}
        assert uids == {"daemon": accounts.find_account("daemon").uid, "number": 4242, "root": 0}
        assert {found.name: found.user for found in held.statuses} == {
            "daemon": "daemon",
            "number": "4242",
            "root": "root",
        }
    project.declare("other", user="no-such-user")
    with pytest.raises(ServiceFailed, match="service `other` is to run as `no-such-user`, and there is no such user"):
        project.services.start("other")


@root
def test_the_users_own_variables(project):
    """A service under another user has that user's name and home, and nothing that is the caller's alone."""
    project.variables |= {
        "HOME": "/root",
        "USER": "root",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "TMPDIR": "/root/tmp",
        "LANG": "C",
    }
    project.declare(
        "web", "echo $HOME $USER $LOGNAME $LANG [$XDG_RUNTIME_DIR$TMPDIR]; echo up; exec sleep 1000", check=UP
    )
    with project.services.lease():
        account = accounts.account(NOBODY)
        assert project.services.logs("web")[0] == f"{account.home} {account.name} {account.name} C []"


@root
def test_state_and_sockets_have_a_place(project):
    """A service makes its data below `.flox/cache` and its socket in the runtime directory, and nothing of root's there."""
    project.declare("files", "mkdir .flox/cache/data && ! rm -rf .flox/cache/esker 2>/dev/null", oneshot=True)
    project.declare("web", f"touch {project.runtime}/socket && echo up && exec sleep 1000", check=UP)
    with project.services.lease():
        assert os.stat(f"{project.dot_flox}/cache/data").st_uid == NOBODY
        assert os.stat(f"{project.runtime}/socket").st_uid == NOBODY
        assert stat.S_IMODE(os.stat(f"{project.dot_flox}/cache").st_mode) == 0o1771
    project.declare("files", "touch .flox/cache/data/again", oneshot=True)
    with project.services.lease():
        assert os.path.exists(f"{project.dot_flox}/cache/data/again")


@root
def test_where_the_user_cannot_enter_a_namespace_shows_it(project, secret):
    """Below a closed directory a service sees itself as another user and starts; it keeps root's rights, and says so."""
    os.chmod(project.directory, 0o700)
    project.declare("web", f"cat {secret}; echo; {WHO}", check=UP)
    with project.services.lease() as held:
        (found,) = held.statuses
        assert outside(found.pid) == 0
        assert found.note == (
            f"`web` runs with root's rights, so nothing is protected from it: it sees itself as uid {NOBODY}, "
            f"but that user cannot enter `{project.directory}`"
        )
    assert project.services.logs("web")[:4] == ["root's alone", f"{NOBODY}", f"{NOBODY}", f"{NOBODY}"]


@root
def test_a_service_in_a_namespace_ends_like_any_other(project, caller):
    """Stopping, and kill -9 of its user, end a service in a namespace with its whole tree."""
    os.chmod(project.directory, 0o700)
    project.declare("web", "(setsid sleep 1000 &); echo up; sleep 1000", check=UP)
    project.services.start()
    project.services.stop()
    assert project.processes() == []
    process = caller("held = services.lease(); print(flush=True); sys.stdin.read()")
    process.stdout.readline()
    process.kill()
    project.await_nothing()


@root
def test_a_program_in_a_closed_place_makes_a_namespace_too(project, tmp_path):
    """The store and the interpreter must be within reach as well as the project."""
    tmp_path.chmod(0o700)
    project.paths = (str(tmp_path),)
    project.declare("web")
    with project.services.lease() as held:
        assert f"cannot enter `{tmp_path}`" in held.statuses[0].note


@root
def test_without_namespaces_it_is_an_error_with_both_ways_out(project):
    """Where the system refuses them too, the message names the place, and moving and `user = "root"` as remedies."""

    def unreachable(wanted, paths):
        if wanted.namespace:
            raise PermissionError("refused")
        return paths[0]

    with pytest.raises(ServiceError) as caught:
        identity.choose("web", None, project.directory, (), unreachable)
    assert f"cannot enter `{project.directory}`, and this system refuses user namespaces" in caught.value.message
    assert caught.value.hint == 'move it to where everybody may enter, or give `web` the `user = "root"`'


@root
def test_below_another_users_closed_directory_it_is_an_error_before_anything_runs(project):
    """Root shown as another user has no way past that directory's mode; whoever has one can be the service's user."""
    closed = f"{project.directory}/closed"
    inside = f"{closed}/inside"
    os.makedirs(inside)
    os.chown(closed, 4242, 4242)
    os.chmod(closed, 0o700)
    with pytest.raises(ServiceError) as caught:
        identity.choose("web", None, inside, ())
    assert f"cannot enter `{inside}`, and neither can root in a user namespace" in caught.value.message
    assert caught.value.hint == "move it to where everybody may enter, or give `web` a `user` who may enter it"
    choice = identity.choose("web", "4242", inside, ())
    assert (choice.identity, choice.note) == (Identity(4242, 4242), None)


def test_an_ordinary_users_services_are_that_users(project, monkeypatch):
    """Without root nothing changes: no user is looked for, and `user` is for root alone."""
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    choice = identity.choose("web", "postgres", project.directory, ("/no/such/place",))
    assert choice == identity.Choice(None, accounts.account(4242))
    assert choice.variables({"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}) == {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}


@root
def test_output_may_be_opened_again(project):
    """A program under another user may open /dev/stdout, as many servers do for their log."""
    project.declare("web", "echo up > /dev/stdout; echo up > /dev/stderr; exec sleep 1000", check=UP)
    with project.services.lease():
        pass
    assert set(project.services.logs("web")) == {"up"}


@root
def test_postgres_as_a_user_that_is_not_root_can_be_told(project):
    """What a service sees as its uid is not root's, in a namespace and out of it: servers that refuse root start."""
    for mode in (0o755, 0o700):
        os.chmod(project.directory, mode)
        project.declare("web", 'test "$(id -u)" != 0 && exec sleep 1000')
        with project.services.lease() as held:
            assert process_table.entry(held.statuses[0].pid).program == "sleep"
