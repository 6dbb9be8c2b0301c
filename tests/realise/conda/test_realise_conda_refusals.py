"""Conda packages that lie or lead out of their prefix: each is refused, and nothing outside is touched."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import astuple
from pathlib import Path

import pytest
import rattler

from esker.errors import HostError, RealisationFailed, StoreError
from esker.realise.conda import fetching
from tests.support.conda_channel import odd_packages
from tests.support.conda_package import SUBDIR, File, Link, package

OUTSIDE = {"path_type": "hardlink", "sha256": hashlib.sha256(b"planted\n").hexdigest(), "size_in_bytes": 8}


def paths_json(*paths):
    return {"paths": [{"_path": path, **OUTSIDE} for path in paths], "paths_version": 1}


def left(store):
    """Return what a failed build has left in a store."""
    return os.listdir(store.directory)


@pytest.fixture
def planted(store):
    """Plant the files that escaping packages name, where an install without checks would find and put them."""
    Path(store.directory).mkdir(parents=True)
    for place in (Path(store.directory), Path(store.root), Path(store.root).parent):
        (place / "outside").write_text("planted\n")
    yield
    for place in (Path(store.directory), Path(store.root), Path(store.root).parent):
        assert (place / "outside").read_text() == "planted\n"
    assert [name for name in left(store) if name.startswith(".") or name.endswith("-conda")] == []
    assert "outside" not in os.listdir(Path(store.root).parent.parent)  # where other tests have their directories too


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../outside", "has `..`"),
        ("../../outside", "has `..`"),
        ("lib/../../../outside", "has `..`"),
        ("lib/..", "has `..`"),
        ("/outside", "is absolute"),
        ("lib//outside", "no path that can be"),
        ("./outside", "no path that can be"),
        ("lib/", "no path that can be"),
        ("", "no path that can be"),
        ("lib/a\0b", "no path that can be"),
        ("info/index.json", "where a package describes itself"),
    ],
)
def test_a_path_that_leads_out(prefix_of, path, why):
    """paths.json cannot name what lies outside of the package, or is no path in its shortest form."""
    with pytest.raises(RealisationFailed, match=why) as caught:
        prefix_of(package("a", files={"lib/a": "a\n"}, info={"paths.json": json.dumps(paths_json("lib/a", path))}))
    assert "`a-1.0-0`" in caught.value.message
    assert path.split("\0")[0] in caught.value.message


@pytest.mark.usefixtures("planted")
def test_an_absolute_path_that_exists(prefix_of, tmp_path):
    """An absolute path is refused, also where a file of that name is there to be taken."""
    (tmp_path / "victim").write_text("planted\n")
    with pytest.raises(RealisationFailed, match="the path is absolute"):
        prefix_of(package("a", paths=[{"_path": str(tmp_path / "victim"), **OUTSIDE}]))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", ["escaping", "through-link"])
def test_the_packages_of_the_channel_that_escape(prefix_of, name):
    """The packages that stand for others in tests are refused."""
    with pytest.raises(RealisationFailed, match="would lie outside of the"):
        prefix_of(odd_packages()[name])


def test_rattler_would_install_it(channel, tmp_path):
    """The checks are needed: rattler links the planted file into a place above the prefix."""
    import asyncio

    served = channel.add(odd_packages()["escaping"])
    cache = tmp_path / "a/b/cache"
    cache.mkdir(parents=True)
    for place in (tmp_path / "a/b", tmp_path / "a", tmp_path / "a/b/cache"):
        (place / "outside").write_bytes(b"p")

    async def install():
        options = {"platforms": [served.subdir], "gateway": rattler.Gateway(cache_dir=tmp_path / "repodata")}
        records = await rattler.solve(sources=[channel.url], specs=["escaping"], **options)
        await rattler.install(records, tmp_path / "x/y/prefix", cache_dir=cache, show_progress=False)

    asyncio.run(install())
    assert (tmp_path / "x/outside").read_bytes() == b"p"


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"lib/out": Link("../../outside")}, "lib/out"),
        ({"lib/out": Link("/etc/passwd")}, "lib/out"),
        ({"out": Link("..")}, "out"),
        ({"a/b/top": Link("../.."), "a/b/out": Link("top/../outside")}, "a/b/out"),
        ({"a/b": Link("."), "out": Link("a/b/../../outside")}, "out"),
    ],
)
def test_a_link_that_leads_out(prefix_of, files, place):
    """A link cannot lead out of the prefix, neither by itself nor by way of other links."""
    with pytest.raises(RealisationFailed, match="leads out of the environment") as caught:
        prefix_of(package("a", files=files))
    assert f"`{place}`" in caught.value.message


def test_links_within_the_prefix(prefix_of):
    """Links to other files, up and down and in a circle, are what packages may have."""
    files = {"lib/x/a": Link("../../share/a"), "share/a": "a\n", "c": Link("d"), "d": Link("c"), "self": Link(".")}
    assert Path(prefix_of(package("a", files=files)).path, "lib/x/a").read_text() == "a\n"


@pytest.mark.usefixtures("planted")
def test_a_file_below_the_link_of_another_package(prefix_of):
    """A directory of one package cannot be a link of another, through which files would go elsewhere."""
    with pytest.raises(RealisationFailed, match="`lib/x` is a link of the one and a directory of the other") as caught:
        prefix_of(package("a", files={"lib/x": Link("../share")}), package("b", files={"lib/x/outside": "evil\n"}))
    assert "`a-1.0-0` and `b-1.0-0`" in caught.value.message


def test_a_file_where_another_has_a_directory(prefix_of):
    """Neither can it be a file; the place of our own metadata cannot be one either."""
    with pytest.raises(RealisationFailed, match="`lib/x` is a file of the one and a directory of the other"):
        prefix_of(package("a", files={"lib/x/y": "y\n"}), package("b", files={"lib/x": "x\n"}))
    with pytest.raises(RealisationFailed, match="`conda-meta` is a file"):
        prefix_of(package("a", files={"conda-meta": "x\n"}))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("../../outside = a:b", "not a name that a file in bin can have"),
        ("/outside = a:b", "not a name that a file in bin can have"),
        (".. = a:b", "not a name that a file in bin can have"),
        ("a = a;evil:b", "not of the form"),
        ("a = a:b; evil()", "not of the form"),
        ("a = a\nevil:b", "not of the form"),
        ("a", "not of the form"),
    ],
)
def test_an_entry_point_that_leads_out(prefix_of, entry, why):
    """The name of a command cannot lead out of bin, and no code can be hidden in what it runs."""
    with pytest.raises(RealisationFailed, match=why):
        prefix_of(package("python", "3.11.2"), package("a", noarch="python", entry_points=[entry]))


@pytest.mark.parametrize(
    ("info", "why"),
    [
        ({"paths.json": "{"}, "`info/paths.json` is no valid JSON"),
        ({"paths.json": "[" * 100_000}, "`info/paths.json` is no valid JSON"),
        ({"paths.json": "[]"}, "`info/paths.json` is not an object"),
        ({"paths.json": '{"paths": [], "paths_version": 2}'}, "no list of paths"),
        ({"paths.json": '{"paths": [1], "paths_version": 1}'}, "not an object"),
        ({"paths.json": '{"paths": [{}], "paths_version": 1}'}, "`_path` is missing"),
        ({"paths.json": json.dumps(paths_json("lib/a", "lib/a"))}, "`lib/a` twice"),
        ({"paths.json": json.dumps(paths_json("lib/b"))}, "`lib/b` is not in it"),
        ({"paths.json": json.dumps(paths_json("lib"))}, "`lib` is not in it"),
        ({"paths.json": " " * ((16 << 20) + 1)}, "more than 16 MiB"),
        ({"index.json": '{"name": "b", "version": "1.0", "build": "0"}'}, "says of itself that it is `b-1.0-0`"),
        ({"index.json": '{"name": "a", "version": 1, "build": "0"}'}, "`version` is missing"),
        ({"index.json": '{"name": "a", "version": "1.0", "build": "0", "noarch": "x"}'}, "neither `python` nor"),
    ],
)
def test_info_that_is_wrong(prefix_of, store, info, why):
    """What a package says of itself is read within limits, and has to be true."""
    with pytest.raises(RealisationFailed, match=why) as caught:
        prefix_of(package("a", files={"lib/a": "a\n"}, info=info))
    assert "`a-1.0-0`" in caught.value.message
    assert left(store) == []


def test_site_packages_cannot_lie_elsewhere(prefix_of):
    """Where an interpreter says that its packages lie is a path below the prefix."""
    with pytest.raises(RealisationFailed, match=r"has `\.\.`"):
        prefix_of(package("python", "3.11.2", python_site_packages_path="../../outside"))


def archive_of(*entries):
    """Return a .tar.bz2 with these entries and no others."""
    import io

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry_of(name, content=b"", **fields):
    entry = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([entry_of("info", type=tarfile.SYMTYPE, linkname="/etc")], "no file `info/index.json`"),
        ([entry_of("info/index.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "no file `info/index.json`"),
        ([entry_of("lib/out", type=tarfile.SYMTYPE, linkname="../../.."), entry_of("lib/out/evil", b"x")], "outside"),
        ([entry_of("lib/hard", type=tarfile.LNKTYPE, linkname="../../outside")], "could not be fetched"),
        ([], "no file `info/index.json`"),
    ],
)
@pytest.mark.usefixtures("planted")
def test_archives_that_lead_out(channel, prefix_of, entries, why):
    """An archive cannot write through its own links, nor take what lies outside by a link."""
    served = package("a", archive="tar.bz2")
    object.__setattr__(served, "content", archive_of(*entries))
    with pytest.raises((RealisationFailed, HostError), match=why):
        prefix_of(served)
    assert channel.fetched()["a-1.0-0.tar.bz2"] == 1


def test_hard_links_and_modes_within_an_archive(prefix_of, store):
    """A file with two names becomes two files; a closed directory and a set-user-ID program become harmless."""
    index = json.dumps({"name": "a", "version": "1.0", "build": "0"}).encode()
    names = ("bin/one", "bin/two", "closed/three")
    entries = [
        entry_of("info/index.json", index),
        entry_of("info/paths.json", json.dumps(paths_json(*names)).encode()),
        entry_of("bin/one", b"x", mode=0o4755),
        entry_of("bin/two", type=tarfile.LNKTYPE, linkname="bin/one"),
        entry_of("closed/three", b"x", mode=0o666),
        entry_of("closed", type=tarfile.DIRTYPE, mode=0),  # behind its file: only root could unpack into it
        entry_of("unlisted", b"x"),
    ]
    served = package("a", archive="tar.bz2")
    object.__setattr__(served, "content", archive_of(*entries))
    prefix = prefix_of(served).path
    modes = {name: os.lstat(f"{prefix}/{name}").st_mode & 0o7777 for name in (*names, "closed")}
    assert modes == {"bin/one": 0o555, "bin/two": 0o555, "closed/three": 0o444, "closed": 0o555}
    assert os.lstat(f"{prefix}/bin/one").st_ino != os.lstat(f"{prefix}/bin/two").st_ino
    assert not os.path.exists(f"{prefix}/unlisted")


def test_a_lying_hash(channel, prefix_of, store):
    """A file with another hash than the locked one is refused, although rattler unpacks it."""
    served = package("a", files={"lib/a": "a\n"})
    channel.replaced[served.file_name] = package("a", files={"lib/a": "evil\n"}).content
    with pytest.raises(RealisationFailed, match="is not the file that is locked") as caught:
        prefix_of(served)
    assert served.sha256 in caught.value.message
    assert left(store) == []
    channel.replaced.clear()
    assert Path(prefix_of(served).path, "lib/a").read_text() == "a\n"


@pytest.mark.parametrize(
    ("switch", "error", "why"),
    [
        (lambda channel: channel.refused.update({"a-1.0-0.conda": 404}), RealisationFailed, "it is not there"),
        (lambda channel: setattr(channel, "credentials", "user:secret"), HostError, "refuses this account"),
        (lambda channel: channel.halved.add("a-1.0-0.conda"), HostError, "could not be fetched"),
        (lambda channel: setattr(channel, "refusal", 500), HostError, "could not be fetched"),
    ],
    ids=["404", "401", "half", "500"],
)
def test_a_channel_that_refuses(channel, prefix_of, store, switch, error, why):
    """Each refusal is an error with the package and its address, and leaves nothing; afterwards all is as ever."""
    switch(channel)
    with pytest.raises(error, match=why) as caught:
        prefix_of(package("a", files={"lib/a": "a\n"}), package("b"))
    assert "`a-1.0-0`" in caught.value.message or "`b-1.0-0`" in caught.value.message
    assert caught.value.hint
    assert left(store) == []
    channel.refused.clear()
    channel.halved.clear()
    channel.refusal = channel.credentials = None
    assert prefix_of(package("a", files={"lib/a": "a\n"}), package("b")).warnings == ()


def test_no_network(channel, prefix_of, monkeypatch):
    """A server that does not answer is told as such, without the credentials of its address."""
    monkeypatch.setattr(type(channel), "url", "http://user:secret@127.0.0.1:9/channel")
    with pytest.raises(HostError, match="no answer") as caught:
        prefix_of(package("a"))
    assert "secret" not in caught.value.message


def test_a_package_that_is_too_large(channel, prefix_of, store, monkeypatch):
    """The limit holds for what the lock says, and for what comes out of a small archive."""
    with pytest.raises(RealisationFailed, match="more than 1 MB, the limit for one package"):
        prefix_of(package("a", files={"lib/a": os.urandom(1_100_000)}), ESKER_LARGEST_WHEEL="1MB")
    assert channel.fetched() == {}
    monkeypatch.setattr(fetching, "_INTERVAL", 0.001)
    with pytest.raises(RealisationFailed, match="more than 1 MB, the limit for one package"):
        prefix_of(package("b", files={"lib/b": bytes(50_000_000)}), ESKER_LARGEST_WHEEL="1MB")
    assert left(store) == []


def test_an_interruption(channel, prefix_of, store):
    """Ctrl-C ends the downloads at once; what was still being unpacked then is gone after the next build."""
    served = package("a", files={"lib/a": os.urandom(100_000).hex()})
    channel.stalled[served.file_name] = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        prefix_of(served)
    assert store.paths() == []
    channel.stalled.clear()
    deadline = time.monotonic() + 10  # how long rattler's threads go on depends on how busy the machine is
    remaining = None
    while remaining != ["a-1.0-0", "test-conda"] and time.monotonic() < deadline:
        for path in store.paths():
            store.remove(path)
        prefix_of(served)
        remaining = sorted(name.partition("-")[2] for name in left(store))
    assert remaining == ["a-1.0-0", "test-conda"]


_BUILD = """
import sys
from esker.formats.conda.locked_package import LockedCondaPackage
from esker.realise.conda.prefix import conda_prefix
from esker.settings import Settings
from esker.store.store import Store
from rattler import Client
store = Store(sys.argv[1])
with store.using():
    conda_prefix(store, "test", [LockedCondaPackage(*sys.argv[2:8], int(sys.argv[8]))], Client, Settings({}))
"""


@pytest.mark.slow
def test_a_kill(channel, prefix_of, store):
    """What a build leaves that was killed while it fetched is gone after the next one, which succeeds."""
    served = channel.add(package("a", files={"lib/a": os.urandom(100_000).hex()}))
    child: list[subprocess.Popen[bytes]] = []
    channel.stalled[served.file_name] = lambda: [each.kill() for each in child]
    locked = [str(field) for field in astuple(channel.locked(served))]
    child.append(subprocess.Popen([sys.executable, "-c", _BUILD, store.root, *locked]))
    assert child[0].wait() == -signal.SIGKILL
    assert any(name.startswith(".tmp-") for name in left(store))
    channel.stalled.clear()
    prefix = prefix_of(served).path
    assert sorted(name.partition("-")[2] for name in left(store)) == ["a-1.0-0", "test-conda"]
    assert os.path.exists(f"{prefix}/lib/a")


def test_a_full_disk_is_told(prefix_of, monkeypatch):
    """What rattler says of a full disk becomes the store's own message."""

    async def full(*_):
        raise OSError("an io error occurred: No space left on device (os error 28)")

    monkeypatch.setattr("rattler.package_streaming.download_and_extract", full)
    with pytest.raises(StoreError, match="no space left on device") as caught:
        prefix_of(package("a"))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_a_read_only_store(prefix_of, store, monkeypatch):
    """A store that cannot be written is an error before anything is fetched."""
    prefix_of(package("a"))

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), store.directory)

    monkeypatch.setattr("esker.store.store.os.mkdir", refuse)
    with pytest.raises(StoreError, match="read-only file system"):
        prefix_of(package("b"))


def test_a_package_that_lists_our_own_file(prefix_of):
    """The file in which Esker keeps what a package brings is ours, whatever the package has there."""
    prefix = prefix_of(package("a", files={"lib/a": File(b"a\n")}, info={"esker.json": '{"items": {}}'})).path
    assert Path(prefix, "lib/a").read_text() == "a\n"


@pytest.mark.parametrize(("spec", "why"), [("__glibc >=99", "has __glibc"), ("__cuda >=12", "has no __cuda")])
def test_a_machine_that_lacks_what_a_package_needs(channel, prefix_of, spec, why):
    """The error names the package, the property and what this machine has; nothing is fetched."""
    with pytest.raises(RealisationFailed, match=f"`needy-1.0-0` needs {spec}, and this machine {why}") as caught:
        prefix_of(package("needy", depends=[spec]))
    assert "system-requirements" in caught.value.hint
    assert not channel.fetched()


def test_a_machine_that_has_what_a_package_needs(prefix_of):
    """A bound that this machine is within, and one without a version, are no obstacle; nor is another system's."""
    prefix_of(package("content", depends=["__glibc >=2.17,<3.0.a0", "__linux", "__unix"]))
    other = "linux-aarch64" if SUBDIR == "linux-64" else "linux-64"
    prefix_of(package("foreign", depends=["__glibc >=99"], subdir=other))
