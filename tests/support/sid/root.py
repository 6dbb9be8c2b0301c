"""How the root with Debian's newest suite is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import uv

from tests.support import debian_tree
from tests.support.roots import Root
from tests.support.sid import guix_stand_ins

__all__ = ["CHECKOUT", "PYTHON", "ROOT", "USER"]

_PACKAGES = (
    *("podman", "aardvark-dns", "netavark", "nftables", "runc"),
    *("nix-bin", "guix", "kubernetes-client"),
    *("ruby-rails", "ruby-pg", "puma", "bundler", "ruby-bootsnap", "postgresql-client"),
    *("python3", "git", "zsh", "fish", "tini", "passwd", "procps"),
    *("diffutils", "findutils", "gawk", "grep", "gzip", "hostname", "libc-bin", "sed", "tar"),
)
_WHEELS = ("msgspec", "packaging>=26.3", "rich", "tomlkit", "uv", "pytest", "hypothesis")
"""What Esker needs, and what its tests need."""
USER = "dev"
"""An ordinary user, 1000, whose home is /home/dev and whom Nix's store belongs to."""
CHECKOUT = "/srv/esker"
"""Where the checkout is seen."""
PYTHON = "/opt/esker"
"""A virtual environment with Esker, which is the checkout's source."""
_COMMANDS = {"esker": "from esker.__main__ import main", "pytest": "from pytest import console_main as main"}
"""The commands of the virtual environment, and how each gets its `main`."""
_FILES = {
    "etc/nix/nix.conf": "build-users-group =\nsandbox = false\nsubstituters =\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
_MANIFESTS = ("seed.scm", "packages.scm")
_IN_TREE = """
set -e
cd "$0"
mount --rbind /proc proc
mount --rbind /dev dev
mount -t tmpfs esker run
exec chroot . /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 sh -euc "$@"
"""
_WITH_GUIX = """
guix-daemon --disable-chroot --no-substitutes --disable-deduplication 2>/run/log &
for i in $(seq 200); do [ ! -S /var/guix/daemon-socket/socket ] || break; sleep 0.05; done
{}
kill $!
wait
rm -f /var/guix/daemon-socket/socket
"""


def _make(made: Path, scratch: Path) -> None:
    debian_tree.make_tree(made, "sid", *_PACKAGES)
    for name, text in _FILES.items():
        made.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        made.joinpath(name).write_text(text)
    made.joinpath("usr/bin/awk").symlink_to("gawk")
    made.joinpath(CHECKOUT.lstrip("/")).mkdir(parents=True)
    _in_tree(made, f"useradd --uid 1000 --create-home --shell /bin/bash {USER}")
    _in_tree(made, f"install --directory --owner={USER} /nix /nix/store /nix/var /nix/var/nix")
    _make_python(made, scratch)
    _prepare_guix(made)


def _make_python(made: Path, scratch: Path) -> None:
    """Make the virtual environment. The machine's own uv fetches wheels for it, as it reaches their index."""
    _in_tree(made, f"python3 -m venv --without-pip {PYTHON}")
    packages = next(made.joinpath(PYTHON.lstrip("/"), "lib").iterdir()) / "site-packages"
    version = packages.parent.name.removeprefix("python")
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--only-binary", ":all:"]
    command += ["--python-version", version, "--target", str(packages), *_WHEELS]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"no Python packages for Debian sid: {done.stderr}")
    packages.joinpath("esker.pth").write_text(f"{CHECKOUT}/src\n")
    programs = made.joinpath(PYTHON.lstrip("/"), "bin")
    for each in packages.joinpath("bin").iterdir():
        shutil.move(each, programs)
    for name, imported in _COMMANDS.items():
        programs.joinpath(name).write_text(f"#!{PYTHON}/bin/python\nimport sys\n{imported}\nsys.exit(main())\n")
        programs.joinpath(name).chmod(0o755)


def _prepare_guix(made: Path) -> None:
    """Have Guix say what it needs, and make that; then see that it makes a profile, without any network."""
    made.joinpath("gnu/store").mkdir(parents=True)
    for name in _MANIFESTS:
        shutil.copy(_HERE / name, made / "tmp")
    _in_tree(made, _WITH_GUIX.format("\n".join(f"guix shell --dry-run -m /tmp/{name}" for name in _MANIFESTS)))
    guix_stand_ins.add_stand_ins(made)
    _in_tree(made, _WITH_GUIX.format("\n".join(f"guix shell -m /tmp/{name} -- true" for name in _MANIFESTS)))
    for name in _MANIFESTS:
        made.joinpath("tmp", name).unlink()
    shutil.rmtree(made / "root/.cache", ignore_errors=True)


def _in_tree(made: Path, *commands: str) -> None:
    """Run commands of the shell in the tree as root, without a network; what they leave running is killed."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for each in commands:
        done = subprocess.run(
            [*unshare, "sh", "-c", _IN_TREE, str(made), each], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"`{each}` failed in Debian sid: {done.stdout}{done.stderr}")


_HERE = Path(__file__).parent
_RECIPE = ("../debian.py", "../debian_tree.py", "guix_stand_ins.py", "root.py", *_MANIFESTS)
ROOT = Root(_make, tuple(_HERE / name for name in _RECIPE))
