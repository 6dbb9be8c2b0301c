"""Looking at a stranger's project runs nothing of it, and writes nothing outside of it, whatever it contains."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest

from esker.cli.main import main
from esker.host import runtime_directory

LOOKS = [
    ["list"],
    ["list", "--all"],
    ["list", "--config"],
    ["envs"],
    ["lock", "--check"],
    ["services", "status"],
    ["services", "ports"],
    ["services", "logs", "web"],
    ["services", "stop"],
    ["services", "wait", "--for", "stopped"],
    ["activate", "--json"],
    ["activate", "--", "true"],
    ["generations", "list"],
    ["deactivate"],
]
CHANGES = [["lock"], ["edit", "--name", "other"], ["uninstall", "nothing"], ["services", "ports", "--renew"]]

FILES = [
    "cache/esker/lock",
    "cache/esker/prepare.lock",
    "cache/esker/ports.json",
    "cache/esker/plan-dev.json",
    "log/services/web.log",
    "env.json",
    "env/manifest.toml",
    "env/manifest.lock",
    "pylock.toml",
]

CODE = """
schema-version = "1.14.0"
[vars]
A = "$(touch CANARY)"
[hook]
on-activate = "touch CANARY"
[profile]
common = "touch CANARY"
[services.web]
command = "touch CANARY"
[plugins.esker.services.web]
healthcheck = { test = "touch CANARY" }
ports = { WEB = 0 }
"""


@pytest.fixture
def hostile(project, environ, tmp_path, monkeypatch):
    """Give an untrusted project, which belongs to another user if possible, as the current directory."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    directory = project(CODE.replace("CANARY", str(tmp_path / "canary")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(directory)
    yield directory
    assert not (tmp_path / "canary").exists()


def snapshot(top):
    """Return everything below a directory: names, kinds, modes, owners, contents."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(top))] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found


def run_all(commands, capsys):
    """Run commands in this process; each must end by itself with a status, and without an unexpected exception."""
    for arguments in commands:
        assert main(list(arguments)) in {0, 1}, arguments
        assert "Traceback" not in capsys.readouterr().err


def test_looking_at_a_project_of_somebody_else_runs_nothing(hostile, capsys):
    """Only the explicit commands run a project's code, and `activate` refuses a stranger's project."""
    if os.geteuid() == 0:
        os.chown(hostile / ".flox", 4242, 4242)
        commands = LOOKS
    else:
        commands = [command for command in LOOKS if command != ["activate", "--", "true"]]
    run_all([*commands, *CHANGES], capsys)


@pytest.mark.parametrize("name", ["cache", "cache/esker", "log", "log/services", "run"])
def test_a_directory_that_leads_elsewhere_is_not_followed(hostile, tmp_path, capsys, name):
    """Whatever a command does or refuses, the target of such a link stays as it was."""
    elsewhere = tmp_path / "elsewhere"
    for file in ("lock", "ports.json", "plan-dev.json", "web.log", "prepare.lock"):
        (elsewhere / file).write_text("{}\n")
    (elsewhere / "esker").mkdir()
    place = hostile / ".flox" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(elsewhere)
    before = snapshot(elsewhere)
    commands = [command for command in LOOKS if command != ["activate", "--", "true"]]
    run_all([*commands, *CHANGES], capsys)
    assert snapshot(elsewhere) == before


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe", b"\0" * 64, b"1" * 5000, b'{"version": 1e999}\n']
)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_says_nothing_is_an_error_or_nothing(hostile, capsys, name, content):
    """Whatever a file contains, a command ends by itself, with a message or without using the file."""
    place = hostile / ".flox" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    run_all([command for command in [*LOOKS, *CHANGES] if command[:2] != ["activate", "--"]], capsys)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "second name", "device"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_of_its_own_is_not_written_nor_waited_for(hostile, tmp_path, capsys, name, kind):
    """With a link, pipe, directory, device or hard link in place of a file, no command hangs or changes it."""
    victim = tmp_path / "elsewhere" / "victim"
    victim.write_text("{}\n")
    place = hostile / ".flox" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    match kind:
        case "link":
            place.symlink_to(victim)
        case "pipe":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
        case "second name":
            os.link(victim, place)
        case _:
            place.symlink_to("/dev/zero")
    before = snapshot(tmp_path / "elsewhere")
    commands = [command for command in LOOKS if command != ["activate", "--", "true"]]
    run_all([*commands, *CHANGES], capsys)
    assert snapshot(tmp_path / "elsewhere") == before


def test_a_runtime_directory_that_another_user_has_made_is_refused(project, environ, tmp_path, monkeypatch, capsys):
    """Whoever made it could listen there for the project's passwords, so no activation gives it to a program."""
    project()
    monkeypatch.chdir(tmp_path / "project")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = tmp_path / "esker-4243"
    theirs.mkdir()
    theirs.chmod(0o777)
    monkeypatch.setattr(runtime_directory, "user_directory", lambda _xdg: str(theirs))
    for arguments in (["activate"], ["activate", "--json"], ["activate", "--", "true"], ["services", "start"]):
        assert main(arguments) == 1
        message = capsys.readouterr().err
        assert f"cannot use the runtime directory `{theirs}`" in message or arguments[0] == "services"
    assert not list(theirs.iterdir())
