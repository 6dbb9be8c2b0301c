"""The conda channel that tests use: rattler takes its packages for real ones, and it can be as bad as others are."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest
import rattler

from tests.support.conda_channel import CondaChannel, many, odd_packages
from tests.support.conda_debian import PROGRAMS, debian_packages
from tests.support.conda_package import PLACEHOLDER, SUBDIR, Link, package


@pytest.fixture
def channel():
    with CondaChannel() as served:
        yield served


@pytest.fixture
def installed(channel, tmp_path):
    """Give a function that has rattler solve and install, into a new prefix."""

    async def install(specs):
        options = {"platforms": [SUBDIR, "noarch"], "gateway": rattler.Gateway(cache_dir=tmp_path / "repodata")}
        records = await rattler.solve(sources=[channel.url], specs=specs, **options)
        await rattler.install(records, tmp_path / "prefix", cache_dir=tmp_path / "cache", show_progress=False)
        return tmp_path / "prefix"

    return lambda *specs: asyncio.run(install(specs))


def test_rattler_installs_both_formats(channel, installed):
    """Files, links and modes arrive, of a .conda and of a .tar.bz2, with the prefix in the place of the placeholder."""
    files = {"bin/a": f"#!{PLACEHOLDER}/bin/sh\n", "lib/b": Link("a"), "lib/c": b"\0" + PLACEHOLDER.encode() + b"/d\0"}
    channel.add(package("new", files=files))
    channel.add(package("old", files={"share/old": "old\n"}, depends=["new"], archive="tar.bz2"))
    prefix = installed("old")
    assert (prefix / "bin/a").read_text() == f"#!{prefix}/bin/sh\n"
    assert os.access(prefix / "bin/a", os.X_OK)
    assert os.readlink(prefix / "lib/b") == "a"
    assert (prefix / "lib/c").read_bytes() == b"\0" + f"{prefix}/d".encode().ljust(257, b"\0") + b"\0"
    assert (prefix / "share/old").read_text() == "old\n"
    assert channel.fetched() == {"new-1.0-0.conda": 1, "old-1.0-0.tar.bz2": 1}


@pytest.mark.slow
def test_refusals(channel, installed):
    """Nothing is installed through a password, a status of refusal, half a file, a lie about the hash."""
    served = channel.add(package("a", files={"share/a": "a\n" * 1000}))
    channel.credentials = "user:secret"
    with pytest.raises(Exception, match="401"):
        installed("a")
    channel.credentials = None
    for bad in (channel.halved.add, lambda name: channel.lies.update({name: "0" * 64})):
        bad(served.file_name)
        with pytest.raises(Exception, match="failed to fetch"):
            installed("a")
        channel.halved.clear()
        channel.lies.clear()
    channel.refused[served.file_name] = 404
    with pytest.raises(Exception, match="failed to fetch"):
        installed("a")
    channel.refused.clear()
    assert (installed("a") / "share/a").exists()


def test_odd_packages_are_what_they_say(channel, installed):
    """A package of this system is chosen among several, and the odd ones have what their names say."""
    for each in odd_packages().values():
        channel.add(each)
    prefix = installed("elsewhere", "activating", "post-link", "old-format")
    assert (prefix / "share/system").read_text() == f"{SUBDIR}\n"
    assert (prefix / "etc/conda/activate.d/activating.sh").exists()
    assert (prefix / "bin/.post-link-post-link.sh").exists()


def test_many_packages_are_the_same_each_time():
    """The packages of the bench have the number of files that was asked for, and equal bytes at each call."""
    made = many(3, 100)
    assert [each.sha256 for each in made] == [each.sha256 for each in many(3, 100)]
    assert made[2].index["depends"] == ["many-001"]


@pytest.mark.live("conda")
def test_debian_programs_run(channel, installed):
    """Each program of the channel runs from a prefix, and finds its libraries there."""
    for each in [*debian_packages(), odd_packages()["tool"]]:
        channel.add(each)
    prefix = installed(*PROGRAMS, "tool")
    (prefix / "a.c").write_text(
        "#include <stdio.h>\n#include <zlib.h>\nint main(void) { return puts(zlibVersion()) < 0; }\n"
    )
    (prefix / "Makefile").write_text("a: a.c\n\ttcc -o a a.c -lz\n")
    commands = {
        "echo '{\"a\": [1]}' | jq -c .a": "[1]",
        "htop --version": "htop ",
        "git init -q repository && git -C repository status --short --branch": "## No commits yet",
        "redis-server --version": "Redis server v=",
        'ruby -rjson -ropenssl -e "puts JSON.dump([1])"': "[1]",
        "gem --version": "3.",
        "python -c 'import ssl, sqlite3, ctypes, lzma, bz2, sys; print(sys.prefix)'": str(prefix),
        "tool": f"tool {prefix}",
        "make -s a && ./a": "1.",
    }
    environ = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": str(prefix)}
    for command, start in commands.items():
        done = subprocess.run(
            ["sh", "-c", command], cwd=prefix, env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout.startswith(start), command
    for program in ("htop", "jq", "redis-cli", "python3.11"):
        listed = subprocess.run(["ldd", prefix / "bin" / program], capture_output=True, text=True, check=False).stdout
        found = [
            line
            for line in listed.splitlines()
            if "=> " in line and not line.strip().startswith(("libc.", "libm.", "libpthread", "libdl."))
        ]
        assert found
        assert all(f"=> {prefix}/" in line for line in found), listed
