"""What `examples/agentbox` is made of in tests: Debian's programs, Node, wheels, stand-ins, and a repository of agents.

The manifests stay as they are, but for the versions of Python and Node, the systems, and the address of the agents. A
name that the tests' channel has no program for is a stand-in: a package with one text, so that all layers are there.
"""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

from tests.support.conda_debian import debian_packages
from tests.support.conda_desktop import XKBCOMP, desktop_packages
from tests.support.conda_package import CondaPackage, File, package
from tests.support.conda_sysroot import sysroot_packages
from tests.support.example_images import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AGENTS",
    "DESKTOP",
    "HEAVY",
    "LIBRARIES",
    "MAPPED",
    "add_xkbcomp",
    "agents",
    "channel_packages",
    "declared",
    "take_browser_out",
]

AGENTS = ("doc-planner", "code-reviewer")
"""The agents in the tests' repository."""
LIBRARIES = {"libgcc": ["libgcc-s1", "libatomic1"], "libstdcxx": ["libstdcxx6"]}
"""conda-forge's packages that Debian calls otherwise."""
DESKTOP = "https://conda.desktop.invalid/channel"
HEAVY = ("jupyter", "jupyterlab", "notebook", "ipykernel", "nbformat", "pandas", "playwright")
"""Libraries that are not in the tests' images: 90 wheels of 147, and most of their bytes."""
MAPPED = {"python 3.12.*": "python 3.11.*", "nodejs 20.*": "nodejs"}
_URL = "https://github.com/ChrisRoyse/610ClaudeSubagents.git"


def declared(variant: str = ".") -> dict[str, Any]:
    """Return `[plugins.esker]` of a variant, as it stands in its manifest."""
    path = EXAMPLES / "agentbox" / variant / ".flox/env/manifest.toml"
    values: dict[str, Any] = tomllib.loads(path.read_text())["plugins"]["esker"]
    return values


def channel_packages() -> list[CondaPackage]:
    """Return all conda packages: those of Debian, Node, and a stand-in for each other name."""
    from tests.support.ci import programs

    made = [*debian_packages(), *sysroot_packages(), *desktop_packages()]
    node = programs.ROOT.path() / "node"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()[1:]
    files = {"bin/node": File(node.read_bytes(), executable=True)}
    made.append(package("nodejs", version, files, depends=["libstdcxx6"]))
    made += [package(name, "1.0", {}, depends=depends) for name, depends in LIBRARIES.items()]
    there = {each.name for each in made}
    for entry in declared()["conda"]["dependencies"]:
        name = (entry if isinstance(entry, str) else entry["spec"]).split()[0]
        if name not in there and not name.startswith("sysroot_"):
            made.append(package(name, "1.0", {f"share/stand-in/{name}": f"{name} of conda-forge\n"}))
    return made


def agents(directory: Path) -> dict[str, str]:
    """Make a repository of agents, and return what the manifests' text is mapped to, so that they name it."""
    (directory / "agents").mkdir(parents=True)
    for name in AGENTS:
        (directory / f"agents/{name}.md").write_text(f"# {name}\n")
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "Agents"],
    ):
        subprocess.run(["git", *words], cwd=directory, check=True)
    return {_URL: str(directory), **MAPPED}


def take_browser_out(variant: Path, repository: Path) -> None:
    """Put a repository into a variant's image in place of agent-browser: 180 MB that one image is enough to try."""
    with (variant / ".flox/env/manifest.toml").open("a") as manifest:
        manifest.write(f'\n[plugins.esker.image.prepare."/opt/node/agent-browser"]\ngit = "{repository}"\n')


def add_xkbcomp(desktop: Path) -> None:
    """Give the desktop's image the file that Debian's X server asks for."""
    (desktop / "xkbcomp").write_text(XKBCOMP)
    (desktop / "xkbcomp").chmod(0o755)
    manifest = desktop / ".flox/env/manifest.toml"
    before = 'files = { "/opt/agentbox" = ["../src"] }'
    after = 'files = { "/opt/agentbox" = ["../src"], "/usr/bin" = ["xkbcomp"] }'
    text = manifest.read_text()
    assert before in text
    manifest.write_text(text.replace(before, after))
    subprocess.run(["git", "add", "--all"], cwd=desktop, check=True)
