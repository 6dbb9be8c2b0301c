"""What the stand-in `flox` knows of an environment: its manifest, what an activation changes, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SYSTEM", "Answer", "Environment", "Failure", "composed", "lock_of", "replayed", "start"]

SYSTEM = f"{os.uname().machine}-linux"
_SYSTEMS = ("aarch64-darwin", "aarch64-linux", "x86_64-linux")
_INCOMPLETE = (
    "The hook.on-activate script did not complete normally.\n\nReview your script for the use of:\n"
    "- 'exit' commands, which should be replaced with 'return'\n"
    "- 'exec' commands, which should be run in a subshell: '(exec command)'"
)
_BASH_OWN = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "SHELLOPTS"})

Answer = dict[str, Any]


class Failure(Exception):
    """What ends a command with status 1 and a message."""


class Environment:
    """One `.flox` and what it says."""

    def __init__(self, directory: str) -> None:
        self.project = os.path.realpath(directory)
        self.dot_flox = f"{self.project}/.flox"
        if not os.path.isdir(self.dot_flox):
            raise Failure(f"Did not find an environment in '{directory}'")
        with open(f"{self.dot_flox}/env.json", encoding="utf-8") as file:
            self.name = json.load(file)["name"]
        self.manifest_path = f"{self.dot_flox}/env/manifest.toml"
        with open(self.manifest_path, encoding="utf-8") as file:
            self.text = file.read()
        try:
            self.manifest = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise Failure(f"Failed to parse manifest:\n\nTOML parse error: {error}") from None
        known = self.manifest.get("services", {}).items()
        self.services = {name: each for name, each in known if name != "auto-start"}
        digest = hashlib.blake2b(os.fsencode(self.dot_flox), digest_size=4).hexdigest()
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.runtime = f"{runtime}/flox" if runtime else f"{cache}/flox/run"
        self.state = f"{self.runtime}/activations/{digest}-{os.path.basename(self.project)}"
        self.socket = f"{self.runtime}/flox.{digest}.sock"

    def link(self, mode: str) -> str:
        """Return the link that FLOX_ENV names."""
        path = f"{self.dot_flox}/run/{SYSTEM}.{self.name}-{mode}"
        os.makedirs(f"{path}/bin", exist_ok=True)  # Flox builds a tree of packages here
        return path

    def active(self) -> bool:
        """Whether this process is inside of it."""
        active = json.loads(os.environ.get("_FLOX_ACTIVE_ENVIRONMENTS") or "[]")
        return any(each["environment"]["path"] == self.dot_flox for each in active)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of its state."""
        os.makedirs(self.state, 0o700, exist_ok=True)
        with open(f"{self.state}.lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def ask(self, **request: object) -> Answer | None:
        """Return the executive's answer, or None when there is no executive."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(self.socket)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: Answer = json.loads(connection.makefile().readline())
            return answer


def composed(env: Environment, mode: str, *, starting: bool) -> dict[str, str]:
    """Return this process's variables with those of the environment but for its own vars and hook."""
    after, link = dict(os.environ), env.link(mode)
    pointer = {"name": env.name, "version": 1}
    own = {"environment": {"type": "dot-flox", "path": env.dot_flox, "pointer": pointer}, "mode": mode}
    active = json.loads(after.get("_FLOX_ACTIVE_ENVIRONMENTS") or "[]")
    others = [each for each in active if each["environment"] != own["environment"]]
    if len(others) == len(active):
        after["FLOX_PROMPT_ENVIRONMENTS"] = f"{env.name} {after.get('FLOX_PROMPT_ENVIRONMENTS', '')}".strip()
    after["_FLOX_ACTIVE_ENVIRONMENTS"] = json.dumps([own, *others], separators=(",", ":"))
    after["FLOX_ENV"] = link
    after["FLOX_ENV_CACHE"] = f"{env.dot_flox}/cache"
    after["FLOX_ENV_PROJECT"] = env.project
    after["FLOX_ENV_DESCRIPTION"] = env.name
    after["FLOX_ACTIVATE_START_SERVICES"] = "true" if starting else "false"
    for name, default in (("FLOX_PROMPT_COLOR_1", "99"), ("FLOX_PROMPT_COLOR_2", "141")):
        after.setdefault(name, default)
    for name, part, separator in (("FLOX_ENV_DIRS", "", ""), ("PATH", "/bin", ""), ("MANPATH", "/share/man", ":")):
        rest = [each for each in dict.fromkeys(after.get(name, "").split(":")) if each and each != f"{link}{part}"]
        after[name] = ":".join([f"{link}{part}", *rest]) + separator
    return after


def start(env: Environment, before: dict[str, str]) -> Answer:
    """Run the vars and the hook in bash, once a start, and return what they changed."""
    names = env.manifest.get("vars", {})
    lines = [f'export {name}="{names[name]}"' for name in _in_order(names)]
    hook = env.manifest.get("hook", {}).get("on-activate", "")
    script = "\n".join([*lines, ". /dev/fd/3 >&2", "exec /bin/cat /proc/self/environ"])
    with subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-c", f"exec 3<<'END-OF-HOOK'\n{hook}\nEND-OF-HOOK\n{script}"],
        env=before,
        stdout=subprocess.PIPE,
    ) as bash:
        found = bash.communicate()[0]
    if bash.returncode:
        raise Failure("Running hook.on-activate failed")
    if not found:
        raise Failure(_INCOMPLETE)
    exported = dict(each.split("=", 1) for each in os.fsdecode(found).split("\0") if "=" in each)
    after = {name: value for name, value in exported.items() if name not in _BASH_OWN}
    gone = sorted(name for name in before.keys() - after.keys() - _BASH_OWN if name.isidentifier())
    change: Answer = {"unset": gone, "set": {}, "prepend": {}}
    for name, value in after.items():
        old = before.get(name)
        if old and value != old and value.endswith(f":{old}"):
            change["prepend"][name] = value.removesuffix(old)
        elif value != old or name in names:
            change["set"][name] = value
    return change


def _in_order(values: dict[str, str]) -> list[str]:
    """Sort names so that each comes after those that its value mentions; ties by the alphabet."""
    done: list[str] = []
    mentions = {
        name: {other for other in values if other != name and re.search(rf"\${{?{re.escape(other)}\b", text)}
        for name, text in values.items()
    }
    while len(done) < len(values):
        ready = [name for name in sorted(values) if name not in done and mentions[name] <= set(done)]
        if not ready:
            raise Failure("Found a reference cycle in the '[vars]' section")
        done.append(ready[0])
    return done


def replayed(change: Answer, before: dict[str, str]) -> dict[str, str]:
    """Return variables after what a start has changed."""
    after = {name: value for name, value in before.items() if name not in change["unset"]}
    after |= {name: f"{part}{before.get(name, '')}" for name, part in change["prepend"].items()}
    after |= change["set"]
    return after


def lock_of(manifest: Answer) -> Answer:
    """Return a lock of invented packages: right in form, and nobody has them."""
    wanted = manifest.get("install", {})
    packages = [locked(name, wanted[name]["pkg-path"], system) for name in sorted(wanted) for system in _SYSTEMS]
    return {
        "lockfile-version": 1,
        "manifest": {**manifest, "options": manifest.get("options", {})},
        "packages": packages,
    }


def locked(name: str, path: str, system: str) -> Answer:
    """Return one entry of a lock."""
    digest = hashlib.sha256(f"{path} {system}".encode()).hexdigest()[:32].replace("e", "g")
    return {
        "attr_path": path,
        "derivation": f"/nix/store/{digest}-{path}-1.0.drv",
        "install_id": name,
        "locked_url": "https://packages.example.org/nixpkgs",
        "name": f"{path}-1.0",
        "pname": path,
        "rev": "0" * 40,
        "rev_count": 1,
        "rev_date": "2026-01-01T00:00:00Z",
        "scrape_date": "2026-01-01T00:00:00Z",
        "version": "1.0",
        "outputs": {"out": f"/nix/store/{digest}-{path}-1.0"},
        "system": system,
        "group": "toplevel",
        "priority": 5,
    }
