"""`examples/agentbox`: its three variants say the same, and each has the layers that its README promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

from tests.support.example_images import EXAMPLES

VARIANTS = ("runtime", "full", "desktop")
RECORD = ("base", "node", "python", "rust", "wasm", "sqlite", "media", "browser", "cloud", "services")
"""The layers of the decision record, in its order."""
VARIABLES = {
    "RUVECTOR_DATA_DIR": "/var/lib/ruvector",
    "RUVECTOR_PORT": "9700",
    "AGENTS_DIR": "/home/devuser/agents",
    "WORKSPACE": "/home/devuser/workspace",
}
"""What the record's table says, but for SSL_CERT_FILE, which an image with certificates has by itself."""


def manifest(variant):
    directory = EXAMPLES / "agentbox" / ("" if variant == "runtime" else variant)
    return tomllib.loads((directory / ".flox/env/manifest.toml").read_text())


def image(variant):
    return manifest(variant)["plugins"]["esker"]["image"]


def packages(variant):
    return [name for layer in image(variant)["layers"] for name in layer["packages"]]


def test_the_layers_of_the_record():
    """`runtime` has the record's ten, in its order, and one for what is fetched; `full` has one."""
    assert [layer["name"] for layer in image("runtime")["layers"]] == [*RECORD, "agents"]
    assert [layer["name"] for layer in image("full")["layers"]] == ["everything"]


def test_every_declared_package_is_in_a_layer():
    """What is declared, and nothing else, but for the C library: it is a layer of its own by its size."""
    declared = manifest("runtime")["plugins"]["esker"]
    conda = [entry if isinstance(entry, str) else entry["spec"] for entry in declared["conda"]["dependencies"]]
    names = {name.split()[0] for name in conda} | {*declared["python"]["dependencies"]}
    names = {name for name in names if not name.startswith("sysroot_")} | {*image("runtime")["prepare"]}
    assert {name.removeprefix("conda/") for name in packages("runtime")} == names


def test_the_variants_agree():
    """They take over what `runtime` prepares, its variables and services, and have its packages and the desktop's."""
    for variant in ("full", "desktop"):
        assert image(variant).keys() == {"name", "files", "layers"}
        assert image(variant)["files"] == {"/opt/agentbox": ["../src"]}
        assert manifest(variant)["include"] == {"environments": [{"dir": ".."}]}
    assert packages("full") == packages("runtime")
    assert packages("desktop") == [*packages("runtime"), "xvfb", "openbox", "x11vnc"]


def test_the_variables_of_the_record():
    """On a laptop they lead into the project; in the image they have the record's values."""
    runtime = manifest("runtime")
    values = runtime["vars"] | image("runtime")["vars"]
    assert VARIABLES.items() <= values.items()


def set_up(home, **variables):
    """Run what the containers run first, and return it; `node` and `jq` are scripts, unless a test takes one away."""
    programs = home / "bin"
    programs.mkdir(parents=True)
    for name in ("node", "jq", "git"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} 1\n")
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    environ = {
        "PATH": str(programs),
        "HOME": str(home),
        "PYTHONPATH": str(EXAMPLES / "agentbox/src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FLOX_ENV_CACHE": str(home),
        "AGENTS_DIR": str(home / "agents"),
        "RUVECTOR_DATA_DIR": str(home / "ruvector"),
        "WORKSPACE": str(home / "workspace"),
    }
    command = [sys.executable, "-m", "agentbox.setup"]
    return subprocess.run(command, env=environ | variables, capture_output=True, text=True, check=False)


def test_a_start_that_lacks_something(tmp_path):
    """The start ends with status 1, and names everything that is missing; nothing says that it is ready."""
    done = set_up(tmp_path, PATH="/nonexistent")
    assert done.returncode == 1
    assert done.stderr == (
        "agentbox cannot start without the program `git`, the program `jq`, the program `node`, the program `python`, "
        f"agents in `{tmp_path}/agents`\n"
    )
    assert not (tmp_path / "agentbox.json").exists()


def test_a_start_that_has_everything(tmp_path):
    """Its directories are made, and it says what it has found."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/doc-planner.md").write_text("")
    done = set_up(tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["agents"], found["node"]) == (1, "node 1")
    assert (tmp_path / "ruvector").is_dir()
    assert json.loads((tmp_path / "agentbox.json").read_text()) == found


def test_the_readme_names_every_variant_and_no_lock_is_here():
    """Locks hold addresses, which stay out of this repository."""
    text = (EXAMPLES / "agentbox/README.md").read_text()
    assert {*re.findall(r"^\| `(\w+)` \| \[", text, re.MULTILINE)} == {*VARIANTS}
    ignored = (EXAMPLES.parent / ".gitignore").read_text().splitlines()
    assert {"pylock.toml", "conda.lock", "image.lock", "package-lock.json"} <= {*ignored}
