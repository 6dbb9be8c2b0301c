"""`python -m bench NAME [--json]`: take a figure and print it."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.measure import LEAST_ROUNDS
from bench.report import as_json, as_text

FIGURES = {
    "add": "one small package into an environment of about a hundred, against `uv add`",
    "activation": "a warm activation against Python itself and `uv run`",
    "conda": "60 conda packages, cold, warm and unchanged, against rattler by hand",
    "containers": "PostgreSQL and Valkey in containers, through Esker against Compose itself, and supervised",
    "flox-activate": "the real Angreal client through the shim against Flox.activate() in process",
    "image": "770 MB of layers, cold, one package changed, unchanged, against docker build, mise and umoci",
    "nix-warm": "a warm activation of a flake, against `nix develop`",
    "plugin": "what every run of pytest pays for the plugin",
    "prompt-hook": "a prompt with nothing changed, and a project entered, against mise and direnv",
    "push": "the same layers into a registry, against skopeo and docker push",
    "realise": "from an empty home to the first activation, against venv and uv by hand",
    "second-environment": "an environment that has nine tenths in common with another one",
    "services": "PostgreSQL and Valkey from stopped to healthy and back, against the two binaries by hand",
    "solve": "conda packages locked again after one was added, against rattler's own solve",
    "supervisor": "what guardian and supervisor cost: memory, CPU, many services, logs",
}


def main(arguments: list[str]) -> int:
    """Take the named figure and print it; an invalid figure is printed too, and says that it is invalid."""
    listing = "\n".join(f"  {name:18} {what}" for name, what in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"Take a figure of the project on this machine:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=FIGURES, help=", ".join(FIGURES))
    parser.add_argument("--json", action="store_true", help="print every value, for programs")
    parser.add_argument("--rounds", type=_count, default=11, help=f"rounds to count, {LEAST_ROUNDS} or more (11)")
    parser.add_argument("--seconds", type=float, help="how long `supervisor` watches idle services (60)")
    options = parser.parse_args(arguments)
    if options.seconds is not None and options.name != "supervisor":
        parser.error("`--seconds` is only for `supervisor`")
    extent = {} if options.seconds is None else {"seconds": options.seconds}
    figure = importlib.import_module(f"bench.{options.name.replace('-', '_')}").figure(options.rounds, **extent)
    print(as_json(figure) if options.json else as_text(figure))
    return 0


def _count(text: str) -> int:
    if (count := int(text)) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"{count} rounds are too few: a figure needs {LEAST_ROUNDS}")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
