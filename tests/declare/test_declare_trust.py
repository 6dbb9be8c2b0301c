from __future__ import annotations

import json
import os
import shlex
import stat
import threading

import pytest

from esker.declare.trust import check, check_contents, trust
from esker.errors import HostError, InvalidFile, NotFound, NotTrusted
from esker.host import accounts
from esker.settings import Settings

ME = os.geteuid()
STRANGER = ME + 1
"""Who asks: to that user what we own is somebody else's."""
ALICE = 1234 if ME == 0 else ME
"""Who owns the project: never root, whose projects are everybody's."""


def settings(environ, uid):
    """The settings of a user with these variables."""
    made = Settings(environ)
    made.uid = uid
    return made


@pytest.fixture
def project(tmp_path):
    """A project that belongs to Alice."""
    (tmp_path / "project" / ".flox").mkdir(parents=True)
    os.chown(tmp_path / "project" / ".flox", ALICE, -1)
    return str(tmp_path / "project")


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_own_projects_are_trusted(project):
    """One's own project and that of the user who called sudo may run code; no list is looked for."""
    check(project, settings({}, ALICE))
    check(project, settings({"SUDO_UID": str(ALICE)}, STRANGER))


@pytest.mark.skipif(ME != 0, reason="only root can give a directory to root")
def test_root_s_projects_are_trusted(project):
    """What belongs to root belongs to who could do anything here anyway."""
    os.chown(f"{project}/.flox", 0, -1)
    check(project, settings({}, STRANGER))


def test_a_stranger_s_project_is_refused(project, environ):
    """Somebody else's project is refused, with the command that trusts it."""
    with pytest.raises(NotTrusted) as caught:
        check(project, settings(environ, STRANGER))
    assert " belongs to " in caught.value.message  # the topmost directory that is the stranger's
    assert str(project) in caught.value.message
    assert f"esker trust {project}" in caught.value.hint
    with pytest.raises(NotTrusted):
        check(project, settings({**environ, "SUDO_UID": str(STRANGER), "ESKER_TRUST": "0"}, STRANGER))


@pytest.mark.skipif(ME != 0, reason="only root can make a link of somebody else's")
def test_a_stranger_s_link_to_an_environment_of_ours_is_refused(project, tmp_path):
    """Whoever made the link chose the project in which the environment's scripts would run."""
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / ".flox"
    link.symlink_to(f"{project}/.flox")
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    check(project, settings({}, ALICE))
    with pytest.raises(NotTrusted):
        check(str(tmp_path / "other"), settings({}, ALICE))
    os.chown(link, ALICE, -1, follow_symlinks=False)
    check(str(tmp_path / "other"), settings({}, ALICE))
    with pytest.raises(NotTrusted):
        check(str(tmp_path / "other"), settings({}, STRANGER))


def test_machines_may_trust_everything(project):
    """ESKER_TRUST=1 trusts without a list."""
    check(project, settings({"ESKER_TRUST": "1"}, STRANGER))


def test_trusting(project, environ, tmp_path):
    """`trust` lets a project run from then on; its list is ours alone, and holds each project once."""
    assert trust(project, Settings(environ)) == trust(project, Settings(environ)) == project
    path = tmp_path / "config" / "esker" / "trusted.json"
    entry = {"path": project, "inode": os.stat(f"{project}/.flox").st_ino}
    assert json.loads(path.read_text()) == {"version": 1, "projects": [entry]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(ME != 0, reason="only root can make a project of somebody else's")
def test_a_trusted_project_runs(project, environ):
    """After `trust` somebody else's project runs, as long as it is the same directory and the list is our own."""
    trust(project, Settings(environ))
    check(project, settings(environ, ME))
    os.chown(f"{environ['XDG_CONFIG_HOME']}/esker/trusted.json", ALICE, -1)
    with pytest.raises(NotTrusted):
        check(project, settings(environ, ME))
    trust(project, Settings(environ))
    os.rename(f"{project}/.flox", f"{project}/old")
    os.mkdir(f"{project}/.flox")
    os.chown(f"{project}/.flox", ALICE, -1)
    with pytest.raises(NotTrusted):
        check(project, settings(environ, ME))


def test_the_list_lies_in_the_home_by_default(project, tmp_path):
    """Without XDG_CONFIG_HOME, or with a relative one, the list is in ~/.config."""
    trust(project, Settings({"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}))
    assert (tmp_path / ".config" / "esker" / "trusted.json").is_file()


def test_a_relative_home_is_not_the_project_s_word(project, monkeypatch):
    """A list below the current directory, which may be the project itself, is nobody's."""
    monkeypatch.setattr(accounts, "find_home", lambda uid: f"{project}/home")
    monkeypatch.chdir(project)
    for environ in ({"HOME": "here"}, {"HOME": ""}, {}):
        trust(project, Settings(environ))
        os.remove(f"{project}/home/.config/esker/trusted.json")
    assert not os.path.exists(f"{project}/here")


@pytest.mark.skipif(ME != 0, reason="only root can make a list of somebody else's")
@pytest.mark.parametrize("text", ["", "[]", '{"projects": [1]}', '{"projects": [{"path": "/"}]}', "{}"])
def test_a_damaged_list(project, environ, tmp_path, text):
    """A list that cannot be read is an error with what to do, never trust."""
    (tmp_path / "config" / "esker").mkdir(parents=True)
    path = tmp_path / "config" / "esker" / "trusted.json"
    path.write_text(text)
    os.chown(path, STRANGER, -1)
    with pytest.raises(InvalidFile, match="not a list of trusted projects"):
        check(project, settings(environ, STRANGER))


def test_nothing_to_trust(tmp_path, environ):
    """A directory without an environment is not trusted by mistake."""
    with pytest.raises(NotFound):
        trust(str(tmp_path), Settings(environ))


def test_a_configuration_that_cannot_be_written(project, tmp_path):
    """Where the list cannot be written the error names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"trusted\.json"):
        trust(project, Settings({"XDG_CONFIG_HOME": str(tmp_path / "file")}))


def test_many_at_once(tmp_path, environ):
    """Projects that are trusted at the same moment are all in the list."""
    projects = [tmp_path / f"p{number}" for number in range(8)]
    for one in projects:
        (one / ".flox").mkdir(parents=True)
    threads = [threading.Thread(target=trust, args=(str(one), Settings(environ))) for one in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = json.loads((tmp_path / "config" / "esker" / "trusted.json").read_text())
    assert {entry["path"] for entry in record["projects"]} == {str(one) for one in projects}


@pytest.fixture
def nested(tmp_path):
    """A project of Alice's, two directories below one that she owns too, with every file that carries code."""
    directory = tmp_path / "alice" / "src" / "project"
    (directory / ".flox" / "env").mkdir(parents=True)
    (directory / ".flox" / "run").mkdir()
    for name in ("env.json", "env/manifest.toml", "env/manifest.lock", "pylock.toml"):
        (directory / ".flox" / name).touch()
    for above, _, names in os.walk(tmp_path / "alice"):
        for path in (above, *(f"{above}/{name}" for name in names)):
            os.chown(path, ALICE, -1)
            os.chmod(path, 0o755)
    return directory


@pytest.mark.skipif(ME != 0, reason="only root can give a directory to somebody else")
@pytest.mark.parametrize("above", [0, 1])
def test_whoever_owns_a_directory_above_a_project_has_to_be_trusted_too(nested, environ, above):
    """They can put another project in its place at any moment, also between our check and the hook."""
    check(str(nested), settings(environ, ALICE))
    os.chown(nested.parents[above], STRANGER, -1)
    with pytest.raises(NotTrusted) as caught:
        check(str(nested), settings(environ, ALICE))
    assert caught.value.message.startswith(f"`{nested.parents[above]}` belongs to ")
    assert f"who can change the code of `{nested}`" in caught.value.message
    assert f"esker trust {nested}" in caught.value.hint
    check(str(nested), settings({"ESKER_TRUST": "1"}, ALICE))


@pytest.mark.parametrize("place", ["..", ".", ".flox"])
def test_a_directory_that_everybody_can_write_to_makes_its_project_everybody_s(nested, environ, place):
    """The message names the directory and how to close it; a sticky one above, such as /tmp, is closed enough."""
    path = os.path.normpath(nested / place)
    os.chmod(path, 0o777)
    with pytest.raises(NotTrusted) as caught:
        check(str(nested), settings(environ, ALICE))
    assert caught.value.message == f"every user can write to `{path}`, and so change the code of `{nested}`"
    assert f"chmod o-w {path}" in caught.value.hint
    os.chmod(path, 0o775)  # whom the owner has put into the group is the owner's choice
    check(str(nested), settings(environ, ALICE))
    if place != ".flox":
        os.chmod(path, 0o1777)
        check(str(nested), settings(environ, ALICE))


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        (".", "what is in `{}/my gw`"),
        ("..", "what is in `{}/my gw`"),
        ("sub/requirements.txt", "its `sub/requirements.txt`"),
    ],
)
def test_what_a_person_is_to_read_is_quoted(tmp_path, environ, opened, code):
    """A directory's name does not read like a word of the hint, and its commands can be pasted into a shell."""
    project = tmp_path / "my gw"
    (project / "sub").mkdir(parents=True)
    (project / "sub/requirements.txt").write_text("")
    path = os.path.normpath(project / opened)
    os.chmod(path, os.stat(path).st_mode | 0o002)
    with pytest.raises(NotTrusted) as caught:
        check(str(project), settings(environ, ALICE), "sub/requirements.txt")
    told = f"(chmod o-w {shlex.quote(path)}), or read {code.format(tmp_path)}, then: esker trust '{project}'"
    assert caught.value.hint == f"close it {told}"


@pytest.mark.parametrize("name", ["env", "run", "env.json", "env/manifest.toml", "env/manifest.lock", "pylock.toml"])
def test_what_carries_code_is_a_friend_s_and_closed(nested, environ, name):
    """A `.flox` of one's own is not enough: the files in it that decide what runs count, and the run links."""
    check_contents(str(nested), settings(environ, ALICE))
    os.chmod(nested / ".flox" / name, 0o777)
    with pytest.raises(NotTrusted, match="every user can write to"):
        check_contents(str(nested), settings(environ, ALICE))
    os.chmod(nested / ".flox" / name, 0o755)
    if ME == 0:
        os.chown(nested / ".flox" / name, STRANGER, -1)
        with pytest.raises(NotTrusted, match=f"{name}` belongs to "):
            check_contents(str(nested), settings(environ, ALICE))


@pytest.mark.skipif(ME != 0, reason="only root can give a directory to somebody else")
def test_the_directories_above_what_a_link_leads_to_count_too(nested, environ, tmp_path):
    """One's own `.flox` may be a link, and the requirements may lie elsewhere, but not below a stranger's directory."""
    (tmp_path / "stranger").mkdir()
    os.rename(nested / ".flox", tmp_path / "stranger" / "env")
    (nested / ".flox").symlink_to(tmp_path / "stranger" / "env")
    os.chown(nested / ".flox", ALICE, -1, follow_symlinks=False)
    check(str(nested), settings(environ, ALICE))
    os.chown(tmp_path / "stranger", STRANGER, -1)
    with pytest.raises(NotTrusted, match="who can change the code"):
        check(str(nested), settings(environ, ALICE))
    os.chown(tmp_path / "stranger", ALICE, -1)
    other = tmp_path / "pyproject.toml"
    other.touch()
    os.chown(other, STRANGER, -1)
    with pytest.raises(NotTrusted, match=r"pyproject\.toml` belongs to"):
        check_contents(str(nested), settings(environ, ALICE), [str(other)])


def test_a_project_whose_path_has_become_a_link_is_not_the_one_that_was_named(nested, environ):
    """Paths are resolved before the check, so a link in one of them was put there meanwhile."""
    os.rename(nested, nested.with_name("moved"))
    nested.symlink_to("moved")
    with pytest.raises(NotTrusted, match="has become a link"):
        check(str(nested), settings(environ, ALICE))
