"""Which locked packages of conda channels have a newer version: what the specs allow, and the newest there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.lock.conda.channels import opened
from esker.lock.conda.client import await_result
from esker.lock.conda.inputs import conda_inputs
from esker.lock.conda.offers import offers
from esker.lock.conda.resolve import solved_for
from esker.lock.outdated import Outdated

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.lock.conda.lock_file import CondaLock
    from esker.settings import Settings

__all__ = ["outdated_conda"]


def outdated_conda(declaration: Declaration, lock: CondaLock, settings: Settings) -> list[Outdated]:
    """Return those packages locked for this system of which the channels have a newer version, sorted by name.

    Raises HostError where a channel does not answer, and ResolutionFailed if nothing fits the specs any more.
    """
    system, locked = settings.system, lock.packages.get(settings.system, ())
    inputs = conda_inputs(declaration, system, lock.packages)
    if inputs is None or system not in inputs.systems or not locked:
        return []
    from rattler import Version

    channels = opened(inputs.channels, settings, declaration.project)
    offered = offers(channels, [each.name for each in locked], system, systems=(system,))
    newer = {
        each.name: (each.version, offered[each.name].versions[0].version)
        for each in locked
        if each.name in offered and Version(offered[each.name].versions[0].version) > Version(each.version)
    }
    if not newer:
        return []
    # What would be locked if nothing were locked yet; a package that is needed no more stays as it is until then.
    solved = await_result(solved_for(system, inputs, channels, []))
    allowed = {record.name.normalized: str(record.version) for record in solved}
    return [
        Outdated(name, version, newest, "conda", allowed.get(name, version))
        for name, (version, newest) in sorted(newer.items())
    ]
