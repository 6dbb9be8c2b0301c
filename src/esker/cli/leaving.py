"""What a command does for the shell that leaves an environment, beside the text that it prints for it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["detach"]


def detach(environ: Mapping[str, str], dot_flox: str | None = None) -> None:
    """Unregister the shell as a user of an environment that it is about to leave, by default the newest one."""
    from esker.activate.shells import undo
    from esker.activate.starts import registry
    from esker.activate.starts.start import member_of
    from esker.host.calling_shell import calling_shell
    from esker.host.runtime_directory import environment_directory

    departure = undo.leave(environ, dot_flox)
    if departure is not None and os.path.isdir(departure.dot_flox):
        if environ.get("FLOX_ACTIVATE_START_SERVICES") == "true":
            from esker.cli.session import release_for_shell

            release_for_shell(os.path.dirname(departure.dot_flox), environ, calling_shell())
        path = registry.registry_path(environment_directory(departure.dot_flox, environ.get("XDG_RUNTIME_DIR")))
        registry.leave(path, member_of(calling_shell()))
