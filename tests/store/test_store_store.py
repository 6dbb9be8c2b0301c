"""How a store path becomes valid, whoever else wants it, whatever is killed, whatever the machine refuses."""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import resource
import shutil
import signal
import stat
import subprocess

import pytest

from esker.errors import Malformed, NotFound, RealisationFailed, StoreError
from esker.host import files, trees
from esker.progress import Silent
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.children import Child, killed_at_each_step


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "root"), durable=False, clock=itertools.count(1000).__next__)


def build(directory):
    """Fill a directory with a file, a program, a directory and a link."""
    os.mkdir(f"{directory}/bin")
    for name, text in {"bin/run": "#!/bin/sh\n", "greeting": "hello\n"}.items():
        with open(f"{directory}/{name}", "x", encoding="ascii") as file:
            file.write(text)
    os.chmod(f"{directory}/bin/run", 0o755)
    os.symlink("../greeting", f"{directory}/bin/link")


def never(directory):
    raise AssertionError(f"built again in {directory}")


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def left_over(store):
    """Give what lies in the store besides valid paths, and in its state besides records."""
    valid = {os.path.basename(path) for path in store.paths()}
    hidden = [name for name in os.listdir(f"{store.state}/valid") if name.startswith(".")]
    return [name for name in os.listdir(store.directory) if name not in valid] + hidden


# Becoming valid


def test_a_path_is_built_once_sealed_and_recorded(store):
    """The tree is read-only and of second 1, the record says what and when, and the second time nothing is built."""
    path = store.build("hello", "inputs", build)
    assert path == store.path("hello", "inputs")
    assert os.path.dirname(path) == store.directory
    assert content(f"{path}/bin/link") == "hello\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o555
    assert os.lstat(f"{path}/bin/link").st_mtime == 1
    assert store.is_valid(path)
    assert store.build("hello", "inputs", never) == path
    info = store.record(path)
    assert info.path == path
    assert info.references == ()
    assert info.registered_at == 1000
    assert info.built_from == "sha256:32381523e63197c929b67f793a8098bed0ae3a6fa902634fdbcc6fa4567f3346"
    assert store.paths() == [path]
    assert left_over(store) == []


def test_paths_differ_by_name_and_fingerprint(store):
    """What is built from other inputs lies elsewhere."""
    paths = [store.build(*each, build) for each in (("a", "1"), ("a", "2"), ("b", "1"))]
    assert store.paths() == sorted(paths)


def test_two_builds_of_one_tree_have_one_hash(store):
    """The hash says what lies there and nothing of when, by which process or under which umask it was built."""

    def masked(directory):
        before = os.umask(0o077)
        build(directory)
        os.umask(before)

    first, second = (store.record(store.build(name, "", each)) for name, each in (("a", build), ("b", masked)))
    assert (first.nar_hash, first.nar_size) == (second.nar_hash, second.nar_size)


def test_state_is_private_and_the_tree_can_be_entered(store):
    """Whatever the umask, other users may enter the store, not its records, locks and roots."""
    before = os.umask(0o077)
    try:
        os.makedirs(os.path.dirname(store.root), exist_ok=True)
        path = store.build("hello", "", build)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(store.directory).st_mode) == 0o755
    for place in ("", "/valid", "/locks", "/gcroots"):
        assert stat.S_IMODE(os.stat(store.state + place).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{store.state}/valid/{os.path.basename(path)}").st_mode) == 0o600


def test_reading_makes_nothing(store):
    """Asking a store that is not there is no error and no directory."""
    assert store.paths() == []
    assert verify(store) == []
    assert not store.is_valid(store.path("hello", ""))
    assert not os.path.exists(store.root)


def test_a_durable_path_is_flushed_before_its_record(tmp_path):
    """The real thing, flush included, is valid and whole."""
    store = Store(str(tmp_path / "root"))
    path = store.build("hello", "", build)
    assert verify(store, [path]) == []


def test_a_failing_build_leaves_nothing_and_its_error_is_passed_on(store):
    """The error is the build's own, the directory is gone, and the next build succeeds."""

    def failing(directory):
        build(directory)
        os.chmod(f"{directory}/bin", 0)
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        store.build("hello", "", failing)
    assert left_over(store) == []
    assert store.paths() == []
    store.build("hello", "", build)


@pytest.mark.slow
def test_a_build_killed_at_any_step_leaves_nothing_that_is_taken_for_valid(store):
    """After a kill at each step of a build a path is not valid or is whole; the next build cleans up and succeeds."""
    Store(store.root + "-warm", durable=False).build("hello", "", build)  # loads every module the steps need
    killed = 0
    for step in killed_at_each_step(lambda: store.build("hello", "inputs", build)):
        killed = step
        path = store.path("hello", "inputs")
        assert not store.is_valid(path)
        assert store.paths() == []
        assert store.build("hello", "inputs", build) == path
        assert verify(store) == []
        assert left_over(store) == []
        trees.remove_tree(store.root)
    assert killed > 40
    assert store.build("hello", "inputs", never)


def test_who_waits_for_a_build_that_is_killed_builds_itself(store):
    """The lock ends with its holder; the one that waited finds no valid path and takes over."""
    inside, entered = os.pipe()

    def stuck(directory):
        build(directory)
        os.write(entered, b"x")
        signal.pause()

    first = Child(lambda: store.build("hello", "", stuck))
    os.read(inside, 1)
    second = Child(lambda: store.build("hello", "", build))
    first.kill()
    assert first.wait()[0] == -signal.SIGKILL
    assert second.result() == store.path("hello", "")
    assert verify(store) == []
    assert left_over(store) == []


@pytest.mark.slow
def test_fifty_processes_that_want_one_path_build_it_once(store, tmp_path):
    """All of them get the path, whole, and one built it."""
    starting, start = os.pipe()

    def counted(directory):
        with open(tmp_path / "built", "a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        build(directory)

    def want():
        os.close(start)
        os.read(starting, 1)  # ends for all of them at once, when the parent closes its end
        path = store.build("hello", "", counted)
        return content(f"{path}/bin/link")

    children = [Child(want) for _ in range(50)]
    os.close(start)
    assert [child.result() for child in children] == ["hello\n"] * 50
    assert len(content(tmp_path / "built").splitlines()) == 1
    assert left_over(store) == []


def test_a_tree_that_somebody_deleted_is_built_again(store):
    """A record without a tree is no valid path."""
    path = store.build("hello", "", build)
    trees.remove_tree(path)
    assert not store.is_valid(path)
    assert store.build("hello", "", build) == path
    assert verify(store) == []


# References


def test_references_are_recorded_and_followed(store):
    """A path may link to what it declares; the closure has what it needs, directly or not."""
    first = store.build("first", "", build)
    second = store.build("second", "", lambda path: os.symlink(first, f"{path}/first"), references=[first])
    name = os.path.basename(second)
    third = store.build("third", "", lambda path: os.symlink(f"../{name}", f"{path}/x"), references=[second, second])
    assert store.record(third).references == (second,)
    assert store.closure([third]) == {first, second, third}
    assert store.closure([first, store.path("absent", "")]) == {first}


@pytest.mark.parametrize("spelled", ["../{name}/greeting", "{path}/greeting", "/nix/store/{name}", "x/../../{name}"])
def test_a_link_to_what_is_no_reference_is_refused(store, spelled):
    """Nothing would keep the target from being collected, so the error names link and target."""
    path = store.build("hello", "", build)
    target = spelled.format(path=path, name=os.path.basename(path))
    with pytest.raises(RealisationFailed) as caught:
        store.build("other", "", lambda directory: os.symlink(target, f"{directory}/link"))
    assert caught.value.message == f"`link` links to `{target}`, which is not among the references of `other`"
    assert left_over(store) == []


def test_a_link_to_where_the_tree_was_built_is_refused(store):
    """That directory is gone when the path is valid."""
    with pytest.raises(RealisationFailed, match="not among the references"):
        store.build("other", "", lambda directory: os.symlink(f"{directory}/x", f"{directory}/link"))


@pytest.mark.parametrize("target", ["../x/..", "/usr/bin/env", "{own}/bin", "dangling"])
def test_links_within_the_tree_to_itself_and_to_the_host_are_free(store, target):
    """Only other store paths have to be declared."""
    target = target.format(own=store.path("other", ""))
    path = store.build("other", "", lambda directory: (build(directory), os.symlink(target, f"{directory}/bin/a")))
    assert os.readlink(f"{path}/bin/a") == target


def test_a_reference_must_be_valid(store):
    """What is not there cannot be needed."""
    with pytest.raises(StoreError, match=r"needs .* which is not valid"):
        store.build("other", "", build, references=[store.path("hello", "")])


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{store}/../passwd", "{store}/.tmp-x", "/nix/store/../../etc", "hello"]
)
def test_what_is_no_path_of_this_store_is_refused(store, path):
    """Every question is about a path directly in the store, physical or logical, with a digest and a name."""
    with pytest.raises(Malformed):
        store.is_valid(path.format(store=store.directory))


def test_a_path_may_be_named_logically(store):
    """`/nix/store/…` and where the tree lies are the same path."""
    path = store.build("hello", "", build)
    assert store.is_valid(f"/nix/store/{os.path.basename(path)}")
    assert store.record(f"/nix/store/{os.path.basename(path)}") == store.record(path)


# Verifying


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: os.chmod(f"{path}/greeting", 0o644) or _write(f"{path}/greeting", "jello\n"), "have changed"),
        (lambda path: os.chmod(f"{path}/greeting", 0o544), "have changed"),
        (lambda path: os.chmod(path, 0o755) or _write(f"{path}/new", ""), "have changed"),
        (lambda path: os.chmod(f"{path}/bin", 0o755) or os.unlink(f"{path}/bin/link"), "have changed"),
        (lambda path: os.chmod(f"{path}/greeting", 0o646), "`{path}/greeting` has another mode"),
        (lambda path: os.chmod(f"{path}/bin/run", 0o4555), "`{path}/bin/run` has another mode"),
        (lambda path: os.chmod(f"{path}/bin", 0o777), "`{path}/bin` has another mode"),
        (
            lambda path: (
                os.chmod(f"{path}/bin", 0o755)
                or os.unlink(f"{path}/bin/link")
                or os.symlink("/etc/passwd", f"{path}/bin/link")
            ),
            "have changed",
        ),
        (lambda path: os.chmod(path, 0o755) or os.mkfifo(f"{path}/pipe"), "only files, directories and links"),
        (trees.remove_tree, "no such file"),
    ],
    ids=["contents", "mode", "added", "removed", "writable", "setuid", "open", "link", "pipe", "gone"],
)
def test_verify_names_what_is_damaged_and_why(store, harm, reason):
    """One damaged path among others is the one that is reported; forgotten, it is built again."""
    path = store.build("hello", "", build)
    store.build("other", "", build)
    assert verify(store) == []
    harm(path)
    [damaged] = verify(store)
    assert damaged.path == path
    assert reason.format(path=path) in damaged.reason
    assert "b'" not in damaged.reason
    store.invalidate(path)
    assert not store.is_valid(path)
    assert store.build("hello", "", build) == path
    assert verify(store) == []
    assert left_over(store) == []


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


BIG = f'{{"references": [], "registrationTime": 1{"0" * 400}}}'
"""A time that no float can hold."""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"narHash": 1}', '{"references": ["../x"]}', '{"references": [7]}', BIG]
)
def test_a_damaged_record_is_an_error_that_names_it(store, text):
    """A record that is no record is not guessed at."""
    path = store.build("hello", "", build)
    record = f"{store.state}/valid/{os.path.basename(path)}"
    complete = {"narHash": "", "narSize": 1, "references": [], "registrationTime": 0, "builtFrom": ""}
    _write(record, json.dumps(complete | json.loads(text)) if text.startswith('{"') and "ref" in text else text)
    with pytest.raises(StoreError) as caught:
        store.record(path)
    assert caught.value.message == f"the record `{record}` is damaged"
    assert record in caught.value.hint
    assert [each.path for each in verify(store)] == [path]


def test_a_record_that_is_a_pipe_is_not_waited_for(store):
    """Nobody writes into it; the error says what to do."""
    path = store.build("hello", "", build)
    file = f"{store.state}/valid/{os.path.basename(path)}"
    os.unlink(file)
    os.mkfifo(file)
    with pytest.raises(StoreError) as caught:
        store.record(path)
    assert caught.value.message == f"cannot read `{file}`: it is not a regular file"
    assert caught.value.hint == f"remove `{file}` and activate the environment again"


def test_a_path_without_record_is_an_error_that_names_it(store):
    """Asked for what is not valid, the store says so and what to do."""
    path = store.path("hello", "")
    with pytest.raises(StoreError) as caught:
        store.record(path)
    assert caught.value.message == f"`{path}` is not valid: it has no record"
    assert verify(store, [path]) == [(path, f"`{path}` is not valid: it has no record")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("NOPE", "`NOPE` is not a store path: store paths lie directly in `{directory}`"),
        ("{directory}", "`{directory}` is not a store path: store paths lie directly in `{directory}`"),
        ("{other}", "`{other}` is not in the store: it has no record"),
    ],
)
def test_a_name_that_is_no_path_of_the_store_is_not_damage(store, path, message):
    """What a person has mistyped is told from what has changed, and the error says where to look."""
    made = store.build("hello", "", build)
    names = {"directory": store.directory, "other": store.path("other", "")}
    assert store.named([made, f"/nix/store/{os.path.basename(made)}"]) == [made, made]
    with pytest.raises(NotFound) as caught:
        store.named([made, path.format(**names)])
    assert caught.value.message == message.format(**names)
    assert caught.value.hint == "list what the store holds: esker store path-info"


def test_what_is_collected_while_all_is_verified_is_not_damage(store):
    """Who verifies holds nothing back from a collection; what that takes is no longer part of the store."""
    store.build("first", "", build)
    second = store.build("second", "", build)

    class Listener(Silent):
        def begin(self, *_, **__):
            store.invalidate(second)

    assert verify(store, progress=Listener()) == []


def test_progress_is_told_of_every_path(store):
    """Who listens can show how far the hashing is."""
    heard = []

    class Listener:
        def begin(self, title, *, total=None, unit=""):
            heard.append((title, total, unit))

        def advance(self, count=1):
            heard.append(count)

        def end(self):
            heard.append("end")

    store.build("a", "", build)
    store.build("b", "", build)
    verify(store, progress=Listener())
    assert heard == [("verifying the store", 2, "path"), 1, 1, "end"]


# What the machine refuses


def refusal(function):
    """Run in a child and give the lines of the error that it must end in."""
    status, text = Child(function).wait()
    assert status == 1, text
    assert text.startswith("StoreError: "), text
    return text.removeprefix("StoreError: ").splitlines()


def test_a_file_that_may_not_grow_is_a_store_error_and_leaves_nothing(store):
    """Under a limit on the size of a file the error names path and remedy."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
        store.build("hello", "", build)

    message, hint = refusal(limited)
    assert message.startswith(f"cannot build `{store.path('hello', '')}`: file too large")
    assert "ulimit -f" in hint
    assert left_over(store) == []
    assert store.paths() == []


def test_any_number_of_paths_can_be_asked_for_at_once(store):
    """They are built by the hundred, so that their locks and records stay below the usual limit on open files."""
    sizes = []

    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        store.build_all([("empty", str(number)) for number in range(230)], lambda made: sizes.append(len(made)))
        return sizes

    assert Child(limited).result() == "[100, 100, 30]"
    assert len(store.paths()) == 230
    assert store.build_all([("empty", "0"), ("empty", "229")], pytest.fail) == [
        store.path("empty", "0"),
        store.path("empty", "229"),
    ]


def test_a_record_that_cannot_be_written_leaves_no_tree(store):
    """Where the last step fails, what came before it is taken back."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
        store.build("empty", "", lambda _: None)

    message, _ = refusal(limited)
    assert message.startswith(f"cannot write `{store.state}/valid/")
    assert left_over(store) == []
    assert store.paths() == []


def test_a_place_where_nothing_can_be_made_is_a_store_error(tmp_path):
    """The error names place and ESKER_STORE, and owner and who asks, or the mode if the place is ours."""
    store = Store(str(tmp_path / "closed" / "root"))
    (tmp_path / "closed").mkdir(mode=0o555)
    owner = os.geteuid()
    reason = "belongs to uid 0, and this process runs as uid 65534" if owner == 0 else "is yours, and its mode is 0555"

    def ordinary():
        if owner == 0:
            os.setgroups([])
            os.setuid(65534)
        store.build("hello", "", build)

    message, hint = refusal(ordinary)
    assert message.startswith(f"cannot make `{store.root}`: permission denied")
    assert reason in hint
    assert "ESKER_STORE" in hint


def mounted(place, function, *, size="256k", read_only=False):
    """Run `function` in a child that sees a small file system at `place`; needs root."""

    def run():
        library = ctypes.CDLL(None, use_errno=True)
        assert library.unshare(0x20000) == 0
        assert library.mount(b"none", b"/", None, 0x44000, None) == 0
        flags = 1 if read_only else 0
        assert library.mount(b"tmpfs", os.fsencode(place), b"tmpfs", flags, f"size={size}".encode()) == 0
        return function()

    return run


@pytest.fixture
def disk(tmp_path):
    """Give a place where `mounted` can put a small file system."""
    if os.geteuid() != 0 or Child(lambda: ctypes.CDLL(None).unshare(0x20000)).result() != "0":
        pytest.skip("mounting a small file system needs root, and a sandbox that lets it")
    return tmp_path


def test_a_full_disk_is_a_store_error_with_the_room_that_is_left(disk):
    """A build that fills the disk ends in an error with path, room and remedy, and gives the room back."""

    def large(directory):
        with open(f"{directory}/large", "wb") as file:
            file.write(bytes(1 << 20))

    def full():
        store = Store(str(disk / "root"))
        with pytest.raises(StoreError) as caught:
            store.build("large", "", large)
        assert left_over(store) == []
        assert store.build("hello", "", build)
        raise caught.value

    message, hint = refusal(mounted(disk, full))
    assert message.startswith(f"cannot build `{disk}/root/store/")
    assert "no space left on device, 0." in message
    assert "MB are free" in message
    assert hint == (
        "hint: make room on that disk; free what nothing uses with `esker store gc`, "
        "or set ESKER_STORE to another directory"
    )


def test_a_read_only_disk_is_a_store_error_with_a_remedy(disk):
    """Where nothing can be written the error says that the file system is read-only."""
    message, hint = refusal(mounted(disk, lambda: Store(str(disk / "root")).build("hello", "", build), read_only=True))
    assert message.startswith(f"cannot make `{disk}/root`: read-only file system")
    assert "ESKER_STORE" in hint


def test_a_disk_that_fails_while_flushing_leaves_nothing(tmp_path, monkeypatch):
    """What may not survive a power cut is not registered."""

    def failing(path):
        raise OSError(errno.EIO, "input/output error", path)

    monkeypatch.setattr(files, "sync_file_system", failing)
    store = Store(str(tmp_path / "root"))
    with pytest.raises(StoreError, match="input/output error"):
        store.build("hello", "", build)
    assert store.paths() == []
    assert left_over(store) == []


def test_a_store_that_others_can_change_is_refused(store):
    """Nobody else may put programs where we run them from."""
    store.build("hello", "", build)
    os.chmod(store.directory, 0o777)
    with pytest.raises(StoreError) as caught:
        store.build("other", "", build)
    assert caught.value.message == f"`{store.directory}` can be changed by other users"
    assert "chmod go-w" in caught.value.hint


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_a_new_store_has_its_modes_whatever_the_umask(tmp_path, mask):
    """Nobody else can change it, and services under another uid can enter it, from the directory that holds it on."""
    before = os.umask(mask)
    try:
        store = Store(str(tmp_path / "esker" / "root"))
        store.build("hello", "", build)
    finally:
        os.umask(before)
    for directory in (os.path.dirname(store.root), store.root, store.directory):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_store_that_belongs_to_somebody_else_is_refused(store):
    """Root runs no programs from a store that another user fills."""
    store.build("hello", "", build)
    os.chown(store.root, 65534, 65534)
    with pytest.raises(StoreError, match="can be changed by other users"):
        store.build("other", "", build)


# Where it lies


@pytest.mark.live("nix")
def test_nix_sees_the_hash_that_is_recorded(store):
    """The installed Nix hashes a realised path to what its record says."""
    if not shutil.which("nix-hash"):
        pytest.skip("nix-hash is not on PATH: install Debian's nix-bin")
    path = store.build("hello", "", build)
    found = subprocess.run(["nix-hash", "--type", "sha256", path], stdout=-1, check=True, text=True).stdout.strip()
    assert store.record(path).nar_hash == f"sha256:{found}"
