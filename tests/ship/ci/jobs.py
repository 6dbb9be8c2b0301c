"""The jobs of which golden files are, by their names; `python -m tests.ship.ci.jobs` writes the files anew."""

from __future__ import annotations

from pathlib import Path

from esker.ship.ci import github, gitlab
from esker.ship.ci.choices import Choices
from esker.ship.ci.job import Container, Job
from esker.ship.ci.versions import GITLAB_TAGS

__all__ = ["GOLDEN", "HOSTILE", "JOBS", "rendered"]

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "a\"b'c `id` $(id) ${{ github.token }} \\ ; & # : -\u2028 é"
"""A text with what shells, YAML and GitHub's expressions take for their own."""
_ACTION = "our-team/esker@main"
_ITEMS = Job(
    name="items",
    directory="examples/items",
    declaration=".flox",
    test=("pytest",),
    systems=("x86_64-linux", "aarch64-linux", "aarch64-darwin", "x86_64-darwin"),
    starts_services=True,
    locks=(".flox/env/manifest.lock", ".flox/pylock.toml"),
    action=_ACTION,
)
_POSTGRES = Container(
    image="postgres:17",
    ports=((5432, 5432, "tcp"),),
    environment={"POSTGRES_PASSWORD": "postgres", "POSTGRES_USER": "$USER"},
    health={"cmd": "pg_isready -U postgres", "interval": "5s", "timeout": "3s", "retries": "5"},
)
_RAILS = ("bundle install", "bundle exec rails db:prepare", "bundle exec rails test")
_ONE = ("x86_64-linux",)
_FOREIGN = Job(*("rails", ".", "", _RAILS, _ONE), action=_ACTION, image="our.example/with-it", has_store=False)
_HOSTILE = _ITEMS._replace(
    name=HOSTILE,
    directory=f"a/{HOSTILE}",
    test=(HOSTILE, "echo 'two\n\nlines  '"),
    containers={"db": Container(HOSTILE, ((1, 2, "udp"), (3, 4, "tcp")), {"A": HOSTILE}, {"cmd": "it's $X"})},
)
JOBS = {
    "items": _ITEMS,
    "runners": _ITEMS._replace(
        directory=".", runners={"x86_64-linux": ("ubuntu-latest-16-cores",), "aarch64-darwin": ("self-hosted",)}
    ),
    "one-runner": _ITEMS._replace(directory=".", systems=_ONE, runners={_ONE[0]: ("self-hosted", "linux")}),
    "rails": _ITEMS._replace(
        name="rails",
        directory=".",
        test=_RAILS,
        systems=_ONE,
        starts_services=False,
        containers={"postgres": _POSTGRES},
    ),
    "flox": Job("rails", ".", ".flox", _RAILS, _ONE, tool="flox", containers={"postgres": _POSTGRES}),
    "flox-profile": Job("rails", ".", ".flox", ("tests",), _ONE, tool="flox", has_profile=True),
    "flox-services": Job("items", "items", ".flox", ("pytest",), _ONE, tool="flox", starts_services=True),
    "nix": Job("rails", ".", "flake.nix", _RAILS, _ONE, tool="nix"),
    "nix-through-esker": _FOREIGN._replace(declaration="flake.nix"),
    "shell-nix": Job("rails", ".", "shell.nix", _RAILS, _ONE, tool="nix"),
    "shell-nix-through-esker": _FOREIGN._replace(declaration="shell.nix"),
    "guix": Job("rails", "app", "manifest.scm", (". ./setup-env.sh", *_RAILS), _ONE, tool="guix"),
    "guix-through-esker": _FOREIGN._replace(declaration="manifest.scm"),
    "python": Job("report", ".", "pyproject.toml", ("pytest",), _ONE, action="./tools/esker", has_store=False),
    "chosen": Job(
        *("rails", ".", ".flox", ("echo 'two\nlines'", HOSTILE.replace("${{", "")), _ONE),
        action=_ACTION,
        image="ruby:3.4",
        without_packages=True,
        choices=Choices(("echo 'two\nlines'", HOSTILE.replace("${{", "")), "esker", "", "ruby:3.4", True),
    ),
    "hostile": _HOSTILE,
    "hostile-flox": _HOSTILE._replace(tool="flox"),
    "hostile-nix": _HOSTILE._replace(tool="nix", declaration="flake.nix", starts_services=False),
    "hostile-shell-nix": _HOSTILE._replace(tool="nix", declaration="shell.nix", starts_services=False),
    "hostile-guix": _HOSTILE._replace(tool="guix", declaration="manifest.scm", starts_services=False),
}


def rendered() -> dict[str, str]:
    """Return what is written for each job, by the names of the golden files."""
    texts = {f"{name}.github.yml": github.workflow(job) for name, job in JOBS.items()}
    for name, job in JOBS.items():
        if job.tool == "esker":
            systems = tuple(each for each in job.systems if each in GITLAB_TAGS)
            texts[f"{name}.gitlab.yml"] = gitlab.pipeline(
                job._replace(systems=systems, directory=job.directory.replace(HOSTILE, "b c"))
            )
    return texts


if __name__ == "__main__":
    for name, text in rendered().items():
        (GOLDEN / name).write_text(text)
