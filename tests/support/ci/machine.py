"""The image of the machines on which jobs run in tests, made of Debian's packages: what a hosted machine has of it.

root.tar     for `docker import`
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import debian, debian_tree
from tests.support.roots import Root

__all__ = ["IMAGE", "ROOT"]

IMAGE = "esker-ci-machine:1"
_PACKAGES = (
    *(
        "git",
        "python3",
        "python3-venv",
        "rsync",
        "tar",
        "gzip",
        "libc-bin",
        "mawk",
        "sed",
        "grep",
        "findutils",
        "procps",
    ),
    *("libatomic1", "libstdc++6"),  # Node.js needs them
    *("docker-cli", "docker-compose", "postgresql-client"),
    *("ruby-rails", "ruby-pg", "puma", "bundler", "ruby-bootsnap", "tzdata"),
)


def _make(made: Path, scratch: Path) -> None:
    tree = scratch / "tree"
    tree.mkdir()
    debian_tree.make_tree(tree, "trixie", *_PACKAGES)
    (tree / "usr/bin/awk").symlink_to("mawk")
    for each in ("root", "tmp"):
        (tree / each).mkdir(exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    subprocess.run(["tar", "-cf", made / "root.tar", "--owner=0", "--group=0", "-C", tree, "."], check=True)


ROOT = Root(_make, (Path(__file__), Path(debian_tree.__file__), Path(debian.__file__)))
