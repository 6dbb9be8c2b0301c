"""Where the services of an environment run: the paths by which a command and a supervisor meet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esker.host import runtime_directory

if TYPE_CHECKING:
    from esker.services.supervised.supervisor_record import SupervisorRecord

__all__ = ["Site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the services of an environment run."""

    project: str
    """The directory that their programs start in."""
    dot_flox: str
    """The `.flox`, absolute, with links resolved."""
    runtime: str
    """The environment's runtime directory, by `host.runtime_directory.environment_directory`."""

    @property
    def socket(self) -> str:
        """The supervisor's socket: beside the services' directory, which may be another user's."""
        return f"{self.runtime}.sock"

    @property
    def logs(self) -> str:
        """The directory of the services' logs."""
        return f"{self.dot_flox}/log/services"

    def owns(self, record: SupervisorRecord) -> bool:
        """Return whether `record` (untrusted: it may have come with the project) names a socket of this environment.

        The socket may be named for where the environment is now or was before it was moved. It must lie in a runtime
        directory of this user; which one, each session decides for itself.
        """
        directory, name = os.path.split(record.socket)
        moved = runtime_directory.environment_name(record.dot_flox, os.stat(self.dot_flox).st_ino)
        named = name in {os.path.basename(self.socket), f"{moved}.sock"}
        return named and runtime_directory.is_ours(directory)
