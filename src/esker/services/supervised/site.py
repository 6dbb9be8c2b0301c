"""The paths that a command and the supervisor of an environment share."""

from __future__ import annotations

import os

from esker.host import runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from esker.services.supervised.supervisor_record import SupervisorRecord
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["COPIED", "LOGS", "Site", "known_site", "site_of"]

COPIED = "data-from"
"""The directory, beside the supervisor record, of data of another checkout that are on their way to their places."""

LOGS = ("log", "services")
"""The directory of the services' logs, below `.flox`."""


class Site(NamedTuple):
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


def site_of(project: str, dot_flox: str, xdg_runtime_dir: str | None) -> Site:
    """Return the site of a project with its `.flox`, or with the directory that stands for it."""
    runtime = runtime_directory.environment_directory(dot_flox, xdg_runtime_dir)
    return Site(project=os.path.realpath(project), dot_flox=dot_flox, runtime=runtime)


def known_site(project: str, xdg_runtime_dir: str | None) -> Site | None:
    """Return the site of a project, or None if it has no `.flox`: then no services have run in it."""
    try:
        return site_of(project, f"{project}/.flox", xdg_runtime_dir)
    except OSError:
        return None
