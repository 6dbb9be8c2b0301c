"""The paths that a command and the supervisor of an environment share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esker.host import runtime_directory

if TYPE_CHECKING:
    from esker.services.supervised.supervisor_record import SupervisorRecord

__all__ = ["LOGS", "Site"]

LOGS = ("log", "services")
"""The directory of the services' logs, below `.flox`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The directories of an environment that its services use."""

    project: str
    """The directory that the services' programs start in."""
    dot_flox: str
    """The `.flox` directory, absolute, with links resolved."""
    runtime: str
    """The environment's runtime directory, from `host.runtime_directory.environment_directory`."""

    @property
    def socket(self) -> str:
        """The supervisor's socket: beside the runtime directory and not in it, as that may belong to another user."""
        return f"{self.runtime}.sock"

    @property
    def logs(self) -> str:
        """The directory of the services' logs."""
        return "/".join((self.dot_flox, *LOGS))

    @property
    def messages(self) -> str:
        """The log of the supervisor itself."""
        return f"{self.logs}/supervisor.log"

    def owns(self, record: SupervisorRecord) -> bool:
        """Return whether the socket in `record` is one of this environment.

        We do not trust the record, because it may have come with the project. The socket's name may be for the
        environment's present path, or for the path in the record if the environment was moved. The socket must lie in
        a runtime directory of this user, but not necessarily in that of this session.
        """
        directory, name = os.path.split(record.socket)
        moved = runtime_directory.directory_name(record.dot_flox, os.stat(self.dot_flox).st_ino)
        named = name in {os.path.basename(self.socket), f"{moved}.sock"}
        return named and runtime_directory.is_private(directory)
