"""A prefix of conda packages: what is in it, that it is always the same, and that it shares files with its packages."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from esker.errors import HostError, Malformed, RealisationFailed, StoreError
from esker.formats.conda.locked_package import LockedCondaPackage
from esker.realise.conda import prefix as prefix_module
from esker.store.collect import collect
from esker.store.store import Store
from esker.store.verify import discard_damaged, verify
from tests.support.conda_channel import odd_packages
from tests.support.conda_package import PLACEHOLDER, SUBDIR, File, Link, package

PROGRAM = package("a", files={"bin/a": f"#!{PLACEHOLDER}/bin/sh\n", "lib/a": "a\n", "lib/link": Link("a")})


def no_client():
    raise AssertionError("nothing is to be fetched")


def path_of(store, name):
    """Return the store path of a package."""
    [path] = [path for path in store.paths() if path.endswith(f"-{name}")]
    return path


def inode(*parts):
    return os.lstat("/".join(parts)).st_ino


def test_files_are_linked_and_read_only(prefix_of, store):
    """Files are hard links to those of the package, links are links, and nobody can write to any of them."""
    prefix = prefix_of(PROGRAM).path
    cached = path_of(store, "a-1.0-0")
    assert inode(prefix, "lib/a") == inode(cached, "lib/a")
    assert os.readlink(f"{prefix}/lib/link") == "a"
    modes = {path: stat.S_IMODE(os.lstat(f"{prefix}/{path}").st_mode) for path in ("bin", "bin/a", "lib/a")}
    assert modes == {"bin": 0o555, "bin/a": 0o555, "lib/a": 0o444}
    assert os.lstat(f"{prefix}/lib/a").st_mtime == 1
    assert verify(store) == []


def test_the_placeholder_becomes_the_real_path(prefix_of, store):
    """In text and binary files the prefix's own path stands where the placeholder was; the package keeps it."""
    files = {"lib/text": f"[{PLACEHOLDER}] {PLACEHOLDER}/x", "lib/binary": b"\0\1" + PLACEHOLDER.encode() + b"/x\0rest"}
    prefix = prefix_of(package("a", files=files)).path
    assert Path(prefix, "lib/text").read_text() == f"[{prefix}] {prefix}/x"
    expected = b"\0\1" + f"{prefix}/x".encode().ljust(257, b"\0") + b"\0rest"
    assert Path(prefix, "lib/binary").read_bytes() == expected
    assert PLACEHOLDER in Path(path_of(store, "a-1.0-0"), "lib/text").read_text()


def test_a_path_that_is_too_long_for_a_program(channel, prefix_of):
    """A binary file with less room than the prefix's path needs is an error that says what to do."""
    entry = {"_path": "lib/a", "path_type": "hardlink", "prefix_placeholder": "/short", "file_mode": "binary"}
    with pytest.raises(
        RealisationFailed, match="too long: the programs of the package have room for 6 bytes"
    ) as caught:
        prefix_of(package("a", files={"lib/a": b"\0/short\0"}, paths=[entry]))
    assert "ESKER_STORE" in caught.value.hint


def test_two_builds_are_equal(prefix_of, environ, tmp_path):
    """Two stores at one place get trees that are equal to the last byte and mode, with byte code and metadata."""
    packages = [PROGRAM, *(each for name, each in odd_packages().items() if name in {"post-link", "activating"})]
    found = []
    for _ in range(2):
        store = Store(environ["ESKER_STORE"], durable=False)
        prefix = prefix_of(*packages, into=store)
        listed = subprocess.run(
            ["find", prefix.path, "-printf", "%P %M %s %T@\n"], capture_output=True, text=True, check=True
        )
        found.append((prefix, sorted(listed.stdout.splitlines()), store.record(prefix.path).nar_hash))
        os.rename(store.root, tmp_path / f"kept-{len(found)}")
    assert found[0] == found[1]
    trees = [str(tmp_path / f"kept-{number}/store") for number in (1, 2)]
    assert subprocess.run(["diff", "-r", "--no-dereference", *trees], capture_output=True, check=False).returncode == 0


def test_metadata_says_what_is_whose(prefix_of, channel):
    """`conda-meta` names each package with its hash and files, and neither the cache, the user nor the time."""
    prefix = prefix_of(PROGRAM).path
    said = json.loads(Path(prefix, "conda-meta/a-1.0-0.json").read_text())
    files = ["bin/a", "lib/a", "lib/link"]
    assert said == {"name": "a", "version": "1.0", "build": "0", "sha256": PROGRAM.sha256, "files": files}


def test_what_is_made_is_not_made_again(channel, prefix_of):
    """The same packages give the same path without a request, and another prefix fetches only what is new."""
    first = prefix_of(PROGRAM)
    assert prefix_of(PROGRAM, client=no_client) == first
    second = prefix_of(PROGRAM, package("b", files={"lib/b": "b\n"}))
    assert channel.fetched() == {"a-1.0-0.conda": 1, "b-1.0-0.conda": 1}
    assert inode(first.path, "lib/a") == inode(second.path, "lib/a")
    assert second.path != first.path


def test_the_place_of_the_store_is_part_of_the_key(prefix_of, tmp_path):
    """Another store has another path, because files have the path in them."""
    paths = [prefix_of(PROGRAM, into=Store(str(tmp_path / name))).path for name in ("one", "two")]
    assert len({os.path.basename(path) for path in paths}) == 2


def test_the_later_of_two_packages_wins(prefix_of):
    """Of a file that two packages bring differently, the later one's is taken with a warning, also the second time."""
    packages = [package(name, files={"lib/same": "same\n", "lib/other": f"{name}\n"}) for name in ("a", "b")]
    prefix = prefix_of(*packages)
    assert prefix.warnings == ("`a` and `b` bring different files `lib/other`: that of `b` is used",)
    assert Path(prefix.path, "lib/other").read_text() == "b\n"
    assert prefix_of(*packages).warnings == prefix.warnings
    assert Path(prefix_of(*reversed(packages)).path, "lib/other").read_text() == "a\n"


def test_scripts_are_not_run_but_named(prefix_of):
    """A package with a script that conda would run is named, and the script has not been run."""
    prefix = prefix_of(odd_packages()["post-link"])
    assert prefix.warnings == ("`post-link` has a script that conda would run when it is installed; Esker runs none",)
    assert not os.path.exists(f"{prefix.path}/ran")
    assert os.path.exists(f"{prefix.path}/share/post-link")


def test_an_altered_file_is_extracted_again(channel, prefix_of, store):
    """A cached file whose size, time or mode has changed does not come into another prefix; the package is fetched."""
    first = prefix_of(PROGRAM).path
    for number, alter in enumerate((lambda path: path.write_text("b\n"), lambda path: path.chmod(0o666), os.unlink)):
        cached = Path(path_of(store, "a-1.0-0"), "lib/a")
        os.chmod(cached.parent, 0o755)
        os.chmod(cached, 0o644)
        alter(cached)
        second = prefix_of(PROGRAM, package("b", files={"lib/b": f"{number}\n"})).path
        assert Path(second, "lib/a").read_text() == "a\n"
        assert channel.fetched()["a-1.0-0.conda"] == number + 2
    assert inode(first, "lib/a") != inode(second, "lib/a")


def test_an_altered_file_with_the_placeholder_is_extracted_again(prefix_of, store):
    """The same holds for a file of which the prefix has a copy."""
    prefix_of(PROGRAM)
    cached = Path(path_of(store, "a-1.0-0"), "bin/a")
    cached.chmod(0o755)
    cached.write_text("evil\n")
    assert "evil" not in Path(prefix_of(PROGRAM, package("b")).path, "bin/a").read_text()


def test_damage_is_found_and_healed(prefix_of, store):
    """`verify` finds changed bytes behind an unchanged size, time and mode; the repair makes new inodes."""
    prefix = prefix_of(PROGRAM).path
    cached = Path(path_of(store, "a-1.0-0"), "lib/a")
    before, other_name = inode(prefix, "lib/a"), f"{store.root}/other-name"
    os.link(cached, other_name)
    cached.chmod(0o644)
    cached.write_text("b\n")
    os.utime(cached, (1, 1))
    cached.chmod(0o444)
    damaged = verify(store)
    assert {each.path for each in damaged} == {prefix, path_of(store, "a-1.0-0")}
    assert "its contents have changed" in damaged[0].reason
    discard_damaged(store, damaged)
    with open(other_name, "rb") as held:  # so the new file cannot get the old one's number
        assert prefix_of(PROGRAM).path == prefix
        assert held.read() == b"b\n"
    assert Path(prefix, "lib/a").read_text() == "a\n"
    assert inode(prefix, "lib/a") != before
    assert verify(store) == []


def test_a_changed_copy_and_a_strange_file_are_found(prefix_of, store):
    """`verify` also finds what is wrong with a prefix alone: its copies, its metadata, a file that came, a mode."""
    prefix = prefix_of(PROGRAM).path

    def change(path, content):
        os.chmod(os.path.dirname(path), 0o755)
        if path.exists():
            path.chmod(0o755)
        path.write_text(content)
        path.chmod(0o555)
        os.chmod(os.path.dirname(path), 0o555)

    for name in ("bin/a", "bin/new", "conda-meta/a-1.0-0.json"):
        change(Path(prefix, name), "evil")
        damaged = verify(store)
        assert [each.path for each in damaged] == [prefix]
        discard_damaged(store, damaged)
        prefix_of(PROGRAM)
    os.chmod(f"{prefix}/lib/a", 0o4444)
    assert prefix in {each.path for each in verify(store)}


def test_a_collection_takes_packages_with_their_prefix(prefix_of, store):
    """What a live prefix is linked from stays, and goes with it."""
    kept, dropped = prefix_of(PROGRAM).path, prefix_of(package("b"), name="other").path
    freed = collect(store, live=[kept]).paths
    assert {os.path.basename(path)[33:] for path in freed} == {"b-1.0-0", "other-conda"}
    assert dropped in freed
    assert verify(store) == []


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_no_link_can_be_made(prefix_of, store, monkeypatch, number):
    """Across file systems, past the last link and on file systems without links, files are copied with their modes."""

    def refuse(source, target):
        raise OSError(number, os.strerror(number), target)

    monkeypatch.setattr(prefix_module.os, "link", refuse)
    files = {"bin/a": File(b"#!/bin/sh\n", executable=True), "lib/a": "a\n" * 100_000}
    prefix = prefix_of(package("a", files=files)).path
    assert os.lstat(f"{prefix}/lib/a").st_nlink == 1
    assert os.access(f"{prefix}/bin/a", os.X_OK)
    assert Path(prefix, "lib/a").read_text() == "a\n" * 100_000
    assert verify(store) == []


def test_without_an_efficient_copy(prefix_of, monkeypatch):
    """Where the kernel cannot copy between two files, their bytes are."""

    def refuse(*_):
        raise OSError(errno.EXDEV, "no")

    monkeypatch.setattr(prefix_module.os, "link", refuse)
    monkeypatch.setattr(prefix_module.os, "copy_file_range", refuse)
    assert Path(prefix_of(PROGRAM).path, "lib/a").read_text() == "a\n"


def test_no_other_reason_leads_to_a_copy(prefix_of, monkeypatch):
    """A full disk is told, not taken for a file system without links."""

    def refuse(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(prefix_module.os, "link", refuse)
    with pytest.raises(StoreError, match="no space left on device"):
        prefix_of(PROGRAM)


def test_one_package_twice(channel, prefix_of):
    """A lock that has two builds of one package is refused."""
    with pytest.raises(RealisationFailed, match="has the conda package `a` twice"):
        prefix_of(PROGRAM, package("a", "2.0"))


def test_a_lock_with_odd_words_is_refused():
    """No field can lead out of the directories that are named after it."""
    good = {"name": "a", "version": "1", "build": "0", "subdir": SUBDIR, "url": "", "sha256": "0" * 64}
    for field, value in (("name", "../a"), ("name", ".."), ("version", "1/2"), ("build", "x/y"), ("sha256", "0")):
        with pytest.raises(Malformed, match=f"is not the {field} of a conda package"):
            LockedCondaPackage(**{**good, field: value})


def test_without_rattler(prefix_of, monkeypatch):
    """Where py-rattler is missing, the error asks for the extra by name; what is made already still works."""
    import sys

    made = prefix_of(PROGRAM)
    monkeypatch.setitem(sys.modules, "rattler", None)
    assert prefix_of(PROGRAM, client=no_client) == made
    with pytest.raises(HostError, match="conda packages need py-rattler") as caught:
        prefix_of(package("b"), client=no_client)
    assert f"{sys.executable} -m pip install 'esker[conda]'" in caught.value.hint


def test_a_tree_is_as_rattler_makes_it(channel, prefix_of, tmp_path):
    """But for metadata, what stands for pip and where byte code is ours, rattler's tree for another system is equal."""
    python = package(
        "python",
        "3.11.2",
        {"bin/python3.11": "#!/bin/sh\n", "bin/python": Link("python3.11"), "lib/python3.11/os.py": "A = 1\n"},
        subdir="linux-aarch64",
    )
    files = {
        "bin/text": f"#!{PLACEHOLDER}/bin/python -E\n{PLACEHOLDER} {PLACEHOLDER}/x\n",
        "bin/ruby": f"#!{PLACEHOLDER}/bin/ruby -W\n{PLACEHOLDER}\n",
        "bin/env": f"#! /usr/bin/env python\n{PLACEHOLDER}\n",
        "lib/binary": b"\0-I" + PLACEHOLDER.encode() + b"/include:" + PLACEHOLDER.encode() + b"/x\0\0rest",
        "lib/end": b"\0" + PLACEHOLDER.encode() + b"\0",
        "lib/link": Link("../bin/text"),
    }
    packages = [python, package("a", files=files, subdir="linux-aarch64"), odd_packages()["tool"]]
    for spaced in ("p", "p " + "x" * 100):
        ours = prefix_of(*packages, into=Store(str(tmp_path / spaced))).path
        theirs = ours.replace("/store/", "/other/")
        _install(channel, [each.name for each in packages], theirs, tmp_path)
        assert _tree(ours) == _tree(theirs)


def _install(channel, specs, prefix, scratch):
    import asyncio

    import rattler

    async def install():
        options = {"platforms": ["linux-aarch64", "noarch"], "gateway": rattler.Gateway(cache_dir=scratch / "repodata")}
        records = await rattler.solve(sources=[channel.url], specs=specs, **options)
        platform = rattler.Subdir("linux-aarch64")
        await rattler.install(records, prefix, cache_dir=scratch / "cache", platform=platform, show_progress=False)

    asyncio.run(install())


def _tree(prefix):
    """Return the kind and content of all that lies in a prefix and is neither metadata nor Esker's own."""
    found = {}
    own = ("conda-meta", "CACHEDIR.TAG", "bin/pip", "EXTERNALLY-MANAGED", "pip.py", "esker-store.pth", ".pyc")
    for above, _, names in os.walk(prefix):
        for name in names:
            path = os.path.relpath(f"{above}/{name}", prefix)
            if not any(part in path for part in own):
                where = f"{above}/{name}"
                content = os.readlink(where) if os.path.islink(where) else Path(where).read_bytes()
                if isinstance(content, bytes):
                    content = content.replace(prefix.encode(), b"@").rstrip(b"\0"), os.access(where, os.X_OK)
                found[path] = content
    return found


def test_what_is_loaded_when_nothing_is_fetched():
    """Neither rattler nor asyncio is loaded for a prefix that is there."""
    import sys

    code = "import sys, esker.realise.conda.prefix; print(sorted({'rattler', 'asyncio'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_altered_file_is_not_copied_either(prefix_of, store, monkeypatch):
    """Where no link can be made, a file that was changed after it was checked is refused: the copy would have its name."""
    from esker.realise.conda import prefix

    made = package("content", files={"share/a": "as it was made\n"})
    prefix_of(made)
    path = next(Path(store.directory).glob("*-content-1.0-0/share/a"))

    def refused(source, target):
        os.chmod(path, 0o644)
        path.write_text("another content")
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(prefix.os, "link", refused)
    with pytest.raises(StoreError):
        prefix_of(made, package("other"))
