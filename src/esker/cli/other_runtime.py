"""`esker activate` in a project whose runtime is another tool, which has no plan to activate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.session import run_with_services, start_services
from esker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import SimpleNamespace

    from esker.cli.voice import Voice
    from esker.runtimes.protocol import Runtime

__all__ = ["run"]


def run(
    runtime: Runtime, options: SimpleNamespace, command: list[str] | None, environ: Mapping[str, str], voice: Voice
) -> int:
    """Run a command in an activation that ends with it, or print the changes of variables as JSON."""
    if command is None and options.command is None and not options.json:
        raise UsageError(
            f"the runtime `{runtime.name}` can only be activated for a command, and none was given",
            hint="give one: esker activate -- CMD, or esker activate -- bash for a shell",
        )
    begun = runtime.begin(environ)
    try:
        if options.json:
            import json

            print(json.dumps(begun.activation.published(environ), indent=2))
            return 0
        argv = command or ["sh", "-c", options.command]
        leased = start_services(runtime, begun, environ, voice) if options.start_services else None
        return run_with_services((argv, begun.activation.apply(environ)), leased, voice)
    finally:
        begun.end()
