"""The machine with Debian's newest suite: Nix 2.34, Guix 1.5 and Podman 5.8 run there, and its root stays as it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.sid.machine import Machine
from tests.support.sid.root import CHECKOUT, ROOT

pytestmark = [
    pytest.mark.live("guix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the machine mounts the root of Debian sid, as root"),
]


@pytest.fixture(scope="module")
def machine():
    """Give the machine."""
    with Machine() as started:
        yield started


@pytest.mark.parametrize(
    ("argv", "version"),
    [
        (("nix", "--version"), "nix (Nix) 2.34."),
        (("guix", "--version"), "guix (GNU Guix) 1.5."),
        (("podman", "--version"), "podman version 5."),
        (("kubectl", "version", "--client"), "Client Version: v1."),
        (("rails", "--version"), "Rails 7.2."),
        (("ruby", "-e", "require 'pg'; puts PG.library_version"), "18"),
        (("esker", "--version"), ""),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_its_programs_run(machine, argv, version):
    """For an ordinary user, in the versions that tests rely on."""
    assert machine.run(*argv).stdout.startswith(version)


def test_nix_evaluates_and_builds(machine):
    """As the user whom its store belongs to, without a server, a daemon or a sandbox."""
    built = 'derivation { name = "it"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" "echo hi >$out"]; }'
    command = ["nix-build", "--no-out-link", "-E", built]
    path = machine.run(*command).stdout.strip()
    assert path.startswith("/nix/store/")
    assert machine.tree.joinpath(path.lstrip("/")).read_text() == "hi\n"


def test_guix_makes_a_profile_of_its_own_packages(machine):
    """Those that `packages.scm` names, with programs of Debian's; nothing is built but the profile."""
    machine.start_guix()
    manifest, said = f"{CHECKOUT}/tests/support/sid/packages.scm", "command -v ruby; realpath $(command -v ruby)"
    first, ruby = machine.run("guix", "shell", f"--manifest={manifest}", "--", "sh", "-c", said).stdout.splitlines()
    assert first.startswith("/gnu/store/")
    assert ruby.startswith("/usr/bin/ruby")


def test_directories_outside_are_shared():
    """At their own paths, also for writing."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside, Machine(outside) as started:
        started.run("sh", "-c", f"echo hi >{outside}/file", user="root")
        assert Path(outside, "file").read_text() == "hi\n"


def test_writes_stay_in_it(machine):
    """The kept root is as it was, and the machine's /tmp is shared."""
    machine.run("sh", "-c", "echo changed >/etc/hosts; rm /usr/bin/nix", user="root")
    assert machine.tree.joinpath("etc/hosts").read_text() == "changed\n"
    assert ROOT.path().joinpath("etc/hosts").read_text() == "127.0.0.1 localhost\n"
    assert ROOT.path().joinpath("usr/bin/nix").exists()


def test_nothing_is_left_after_it():
    """Neither a process nor a directory."""
    with Machine() as started:
        first = int(started.tree.parent.name)
        started.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 </dev/null &")
        below = started.below
        assert below.exists()
    assert not below.exists()
    assert not os.path.exists(f"/proc/{first}")
