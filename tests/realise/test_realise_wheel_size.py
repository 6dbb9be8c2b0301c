"""The limit on the size of one package: what is too large is refused before it is fetched or soon after unpacking begins."""

from __future__ import annotations

import os
import struct
import time
import zlib

import pytest

from esker.declare.load import load
from esker.errors import RealisationFailed
from esker.lock.resolve import current_lock
from esker.progress import Silent
from esker.realise.realise import realise
from esker.runtimes.native.locking import lock_project
from esker.settings import Settings
from esker.store.store import Store
from tests.support.projects import EMPTY, write_project

pytestmark = pytest.mark.slow
MB = 1_000_000
ENDLESS = 4_000 * MB
"""Bytes: more than can be unpacked before anybody has looked."""
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")


def bomb(files, top="bomb"):
    """Return a wheel of 4 MB that unpacks to gigabytes in as many files.

    What is compressed is written again and again, or it would take long to make. The checksum of a single file is
    wrong, but nobody gets to its end.
    """
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(MB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    size = ENDLESS // files
    data = block * (size // MB) + deflate.flush()
    checksum = 0 if files == 1 else zlib.crc32(bytes(size))
    metadata = b"Metadata-Version: 2.1\nName: bomb\nVersion: 1.0\n"
    members = [
        (f"bomb-1.0.dist-info/{name}", text, zlib.crc32(text), len(text), 0)
        for name, text in {
            "METADATA": metadata,
            "WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": b"",
        }.items()
    ]
    members += [(f"{top.format(number=number)}/{number}", data, checksum, size, 8) for number in range(files)]
    body, central = bytearray(), bytearray()
    for name, content, check, length, method in members:
        fields = (20, 0, method, 0, 33, check, len(content), length, len(name), 0)
        central += _CENTRAL.pack(b"PK\1\2", 20, *fields, 0, 0, 0, 0, len(body)) + name.encode()
        body += _LOCAL.pack(b"PK\3\4", *fields) + name.encode() + content
    return bytes(body + central + _END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(central), len(body), 0))


@pytest.fixture
def locked(environ, tmp_path):
    """Give a function that locks packages, and returns their project and how to realise it under a limit."""

    def make(*names):
        requirements = ", ".join(f'"{name}"' for name in names)
        project = write_project(tmp_path, f"{EMPTY}[plugins.esker.python]\ndependencies = [{requirements}]\n")
        declaration, settings = load(str(project)), Settings(environ)
        lock_project(declaration, settings, settings.interpreters(), progress=Silent())

        def realised(limit):
            settings = Settings(environ | {"ESKER_LARGEST_WHEEL": limit})
            store = Store(settings.store_root)
            with store.using():
                lock = current_lock(declaration, settings)
                return realise(declaration, lock, store, settings.interpreters(), settings, progress=Silent())

        return project, realised

    return make


def size_of(directory):
    """Return the bytes of all files below a directory."""
    return sum(os.lstat(f"{top}/{name}").st_size for top, _, names in os.walk(directory) for name in names)


@pytest.mark.parametrize("files", [1, 400], ids=["one file", "many files"])
def test_a_small_archive_that_unpacks_to_gigabytes_is_refused(index, locked, environ, files):
    """The error names the package and the limit; what was unpacked is removed; nothing of it is in the store."""
    index.put("bomb", "bomb-1.0-py3-none-any.whl", bomb(files))
    index.add("app", "1.0")
    _, realised = locked("app", "bomb")
    with pytest.raises(RealisationFailed) as caught:
        realised("50MB")
    assert caught.value.message == (
        "the package `bomb` 1.0 has more than 50.0 MB when it is unpacked; the limit for one package is 50.0 MB"
    )
    assert "ESKER_LARGEST_WHEEL=" in caught.value.hint
    assert size_of(environ["UV_CACHE_DIR"]) < 50 * MB
    assert size_of(f"{environ['ESKER_STORE']}/nix") < 50 * MB


def test_a_file_that_the_lock_says_is_too_large_is_not_fetched(index, locked):
    """Its size stands in the lock where the index gives it."""
    index.add("app", "1.0", {"app.py": "", "app.dat": bytes(3 * MB)})
    project, realised = locked("app")
    path = project / ".flox/pylock.toml"
    path.write_text(path.read_text().replace("hashes =", "size = 3000500, hashes ="))
    index.requests.clear()
    with pytest.raises(RealisationFailed, match=r"`app` 1\.0 has 3\.0 MB; the limit for one package is 2\.0 MB"):
        realised("2MB")
    assert not index.requests
    assert realised("4MB")


def test_packages_may_be_larger_together(index, locked):
    """The limit is for each of them."""
    for name in ("app", "tool", "more"):
        index.add(name, "1.0", {f"{name}.dat": bytes(3 * MB)})
    assert locked("app", "tool", "more")[1]("5MB")


@pytest.mark.parametrize("names", [("app", "bomb"), ("bomb",)])
def test_a_directory_that_looks_temporary_hides_nothing(index, locked, environ, names):
    """A wheel that brings directories named as uv names its temporary ones is measured as a whole."""
    index.put("bomb", "bomb-1.0-py3-none-any.whl", bomb(400, top=".tmp{number}/bomb"))
    index.add("app", "1.0")
    with pytest.raises(RealisationFailed, match=r"has more than 50\.0 MB when it is unpacked"):
        locked(*names)[1]("50MB")
    assert size_of(environ["UV_CACHE_DIR"]) < 50 * MB


def test_uv_that_has_ended_before_we_know_what_was_too_large_is_explained_all_the_same(index, locked, monkeypatch):
    """The watcher may be slower than the thread that waits for uv."""
    kill = os.kill

    def slow(pid, number):
        kill(pid, number)
        time.sleep(0.5)

    monkeypatch.setattr(os, "kill", slow)
    index.put("bomb", "bomb-1.0-py3-none-any.whl", bomb(1))
    with pytest.raises(RealisationFailed, match=r"`bomb` 1\.0 has more than 50\.0 MB when it is unpacked"):
        locked("bomb")[1]("50MB")
