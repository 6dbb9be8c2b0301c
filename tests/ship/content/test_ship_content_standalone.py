"""A Python of uv's in an image: one archive for a system, locked by its hash, and nothing else from that address."""

from __future__ import annotations

import os
import sys
import tarfile
from types import SimpleNamespace

import msgspec
import pytest
from packaging.specifiers import SpecifierSet

from esker.errors import HostError, ImageError
from esker.progress import Silent
from esker.settings import Settings
from esker.ship.content import standalone
from esker.store.store import Store
from tests.ship.content.conftest import image_of
from tests.support.conda_package import SUBDIR, package
from tests.support.python_mirror import PythonMirror

MINOR = ".".join(map(str, sys.version_info[:2]))
SYSTEM = f"{os.uname().machine}-linux"


@pytest.fixture
def made(environ, project, store, channel, index, tmp_path):
    """Give a function that makes an image with a wheel and no Python of conda's; uv finds one Python."""
    index.add("small", "1.0", {"small.py": ""})
    (tmp_path / "mirror").mkdir()
    mirror = PythonMirror(tmp_path / "mirror")
    loader = {"x86_64-linux": "lib64/ld-linux-x86-64.so.2", "aarch64-linux": "lib/ld-linux-aarch64.so.1"}[SYSTEM]
    files = {f"t/sysroot/{loader}": "loader"}
    channel.add(package(f"sysroot_{SUBDIR}", "2.99", files, noarch="generic"))
    text = (
        f'[options]\nsystems = ["{SYSTEM}"]\n[plugins.esker.conda]\nchannels = ["{channel.url}"]\n'
        f'dependencies = ["sysroot_{SUBDIR}"]\n[plugins.esker.python]\ndependencies = ["small"]\n'
    )

    def image(into=store, variables=(), **options):
        variables = mirror.variables(tmp_path / "pythons") | dict(variables)
        return image_of(project, text, {**environ, **variables}, into, **options), mirror

    return image


@pytest.mark.slow
def test_it_is_locked_by_its_hash(made, tmp_path):
    """The first build computes the hash; with the lock, another machine gets the same file or an error."""
    image, mirror = made()
    [locked] = image.inputs
    assert (locked.kind, locked.name, locked.platform) == ("python", "cpython", f"linux/{_architecture()}")
    assert locked.url.startswith("https://")
    assert ("Python", f"uv's CPython {mirror.version}") in image.reasons
    [unit] = [unit for unit in image.units if unit.name == "esker/python"]
    paths = {entry.path for entry in unit.entries()}
    assert f"/opt/esker/interpreter/bin/python{MINOR}" in paths
    assert any(path.endswith(".pyc") for path in paths)

    again, _ = made(Store(str(tmp_path / "another")), inputs=image.inputs)
    assert again.inputs == image.inputs
    assert {each.name: each.key for each in again.units} == {each.name: each.key for each in image.units}

    wrong = msgspec.structs.replace(locked, hash=f"sha256:{'0' * 64}")
    with pytest.raises(ImageError, match=r"gave a file with the hash sha256:.* is locked"):
        made(Store(str(tmp_path / "third")), inputs=(wrong,))


@pytest.mark.slow
def test_with_locked_none_is_chosen(made):
    """Without a line in the lock of the image, no Python is looked up."""
    with pytest.raises(ImageError, match=f"a Python for {SYSTEM} is not pinned") as caught:
        made(locked=True)
    assert "without `--locked`" in caught.value.hint


@pytest.mark.slow
def test_an_address_that_does_not_answer(made):
    """The error names the other ways to a Python, beside the network."""
    with pytest.raises(HostError, match="could not be downloaded") as caught:
        made(variables={"UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:1"})
    assert caught.value.hint.startswith("check the address")
    assert "esker install conda/python" in caught.value.hint


def test_where_nothing_may_be_fetched(environ, project, store, index):
    """Wheels need an interpreter in the image; the error says what forbids it, and what else there is."""
    index.add("small", "1.0", {"small.py": ""})
    text = f'[options]\nsystems = ["{SYSTEM}"]\n[plugins.esker.python]\ndependencies = ["small"]\n'
    with pytest.raises(ImageError, match="no Python that runs them, and fetching one is forbidden") as caught:
        image_of(project, text, environ, store)
    assert "esker install conda/python" in caught.value.hint
    assert "that of a base: `from` and `python`" in caught.value.hint


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_python_for_another_machine_is_known(environ, tmp_path, machine):
    """An image for ARM can be made on x86-64, and the reverse: uv lists the Pythons of every architecture."""
    making = SimpleNamespace(settings=Settings({**environ, "UV_PYTHON_DOWNLOADS": "automatic"}), progress=Silent())
    address = standalone._address(making, f"{machine}-linux", SpecifierSet("==3.12.*"), str(tmp_path))
    assert f"-{machine}-unknown-linux-gnu-" in address


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("python/../../out", tarfile.REGTYPE, "")], "leads out of the archive"),
        ([("python/up", tarfile.SYMTYPE, "..")], "leads out of the archive"),
        ([("python/a", tarfile.SYMTYPE, "/etc")], "leads out of the archive"),
        ([("python/a", tarfile.LNKTYPE, "python/../../out")], "leads out of the archive"),
        ([("python/pipe", tarfile.FIFOTYPE, "")], "neither a file, a directory nor a link"),
    ],
)
def test_an_archive_that_leads_out_is_refused(tmp_path, members, words):
    """Nothing is written outside of the directory, whichever Python unpacks it."""
    with tarfile.open(tmp_path / "python.tar", "w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    (tmp_path / "into").mkdir()
    with pytest.raises(ImageError, match=words):
        standalone._unpack(str(tmp_path / "python.tar"), str(tmp_path / "into"), "https://mirror.example/python.tar")
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "into").iterdir()) == []


def _architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
