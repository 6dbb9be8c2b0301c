from __future__ import annotations

import os
import re
import socket
import stat

import pytest

from esker.errors import HostError
from esker.host import runtime_directory


@pytest.fixture
def uid(monkeypatch):
    """The tests run as root too: the rules are those of an ordinary user with root's files."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or 4242)
    return os.geteuid()


@pytest.fixture
def own(uid, tmp_path):
    """A directory of that user with mode 0700."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(path, uid, uid)
    return path


def test_xdg_runtime_dir_is_used_when_ours_and_closed(own):
    """`$XDG_RUNTIME_DIR/esker` is the runtime directory when it is ours and 0700."""
    assert runtime_directory.user_directory(str(own)) == f"{own}/esker"


def test_xdg_runtime_dir_is_passed_over_when_unsafe(uid, own, tmp_path):
    """A directory that is open to others, another user's, a link, relative or missing is not used."""
    fallback = f"/tmp/esker-{uid}"
    link = tmp_path / "link"
    link.symlink_to(own)
    missing = tmp_path / "missing"
    for unsafe in (str(link), str(missing), "run", "", None):
        assert runtime_directory.user_directory(unsafe) == fallback
    own.chmod(0o750)
    assert runtime_directory.user_directory(str(own)) == fallback
    own.chmod(0o700)
    if os.getuid() == 0:
        os.chown(own, uid + 1, -1)
        assert runtime_directory.user_directory(str(own)) == fallback


def test_root_never_uses_xdg_runtime_dir(monkeypatch, tmp_path):
    """Root's services run under another uid, which cannot enter /run/user/0."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    assert runtime_directory.user_directory(str(tmp_path)) == "/tmp/esker-0"


def test_environment_directory_differs_by_path_and_inode(own, tmp_path):
    """A checkout that was removed and made again is another environment, and so is one beside it; names stay short."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    names = {runtime_directory.environment_directory(str(path), str(own)) for path in (first, second)}
    first.rename(tmp_path / "old")
    first.mkdir()
    names.add(runtime_directory.environment_directory(str(first), str(own)))
    assert len(names) == 3
    assert all(re.fullmatch(rf"{own}/esker/[0-9a-f]{{9,20}}", name) for name in names)


def test_make_is_closed_and_repeatable(tmp_path):
    """The directories are made closed to others, whatever the umask, and a second time changes nothing."""
    directory = tmp_path / "esker-1" / "abc"
    before = os.umask(0)
    try:
        runtime_directory.make(str(directory))
        runtime_directory.make(str(directory))
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.parent.stat().st_mode) == (0o700 if os.getuid() else 0o711)


def test_make_refuses_what_another_could_have_put_there(tmp_path, uid):
    """A link, a file, a directory open to others or another user's is refused, with the reason and what to do."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    link, file, open_to_all = tmp_path / "link", tmp_path / "file", tmp_path / "open"
    link.symlink_to(elsewhere)
    file.touch()
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    cases = [(link, "it is a link"), (file, "it is not a directory")]
    if os.getuid() == 0:
        cases.append((elsewhere, "it belongs to uid 0"))
        os.chown(open_to_all, uid, uid)
    cases.append((open_to_all, "its mode is 0777, so that others may write there"))
    for path, reason in cases:
        with pytest.raises(HostError) as caught:
            runtime_directory.make(f"{path}/abc")
        assert caught.value.message == f"cannot use the runtime directory `{path}`: {reason}"
        ours = path.lstat().st_uid == uid
        mend = f"see what it holds, and move it away: mv {path} {path}.old"
        assert caught.value.hint == (mend if ours else "set XDG_RUNTIME_DIR to a directory of yours with mode 0700")
    assert not any(elsewhere.iterdir())


def test_root_is_told_what_root_can_do(tmp_path, monkeypatch):
    """Root's directory does not depend on XDG_RUNTIME_DIR, so no message tells root to set it."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    path = tmp_path / "run"
    path.touch()
    with pytest.raises(HostError) as caught:
        runtime_directory.make_user(str(path))
    assert caught.value.hint == f"see what it holds, and move it away: mv {path} {path}.old"
    with pytest.raises(HostError) as caught:
        runtime_directory.make_user("/proc/esker-0")
    assert caught.value.hint == "make `/proc` writable, with free space"


def test_where_nobody_can_make_it_the_directory_may_be_missing():
    """An activation in a read-only system goes on; only services need the directory."""
    runtime_directory.claim_user("/proc/esker-1000")
    with pytest.raises(HostError):
        runtime_directory.make_user("/proc/esker-1000")


def test_socket_path_limit():
    """107 bytes are allowed, counted as the system counts them, not as characters."""
    runtime_directory.check_socket_path("/" + "a" * 106)
    with pytest.raises(HostError) as caught:
        runtime_directory.check_socket_path("/" + "é" * 54)
    assert "has 109 bytes, and the system allows 107" in caught.value.message


@pytest.fixture
def sockets(tmp_path):
    """A runtime directory with what a killed server leaves: its socket, the socket's lock, a file and a directory."""
    directory = tmp_path / "esker" / "abc"
    runtime_directory.make(str(directory))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{directory}/.s.PGSQL.1")
        dead.listen()
    (directory / ".s.PGSQL.1.lock").touch()
    (directory / "some.pid").touch()
    (directory / "sub").mkdir()
    (directory / "sub" / "file").touch()
    return directory


def test_clear_leaves_nothing(sockets):
    """What services have left is removed with the directory, and a second time is no error."""
    runtime_directory.clear(str(sockets))
    assert not sockets.exists()
    assert sockets.parent.exists()
    runtime_directory.clear(str(sockets))


def test_clear_spares_who_still_listens(sockets):
    """A server that somebody runs by hand in the directory keeps its socket and files; dead sockets go all the same."""
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(f"{sockets}/by hand")
        live.listen()
        (sockets / "by hand.lock").touch()
        runtime_directory.clear(str(sockets))
        assert {path.name for path in sockets.iterdir()} == {"by hand", "by hand.lock", "some.pid", "sub"}
