"""The channels that packages are looked for in, and what to say of one that does not answer."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.declare.declaration import CondaTable
from esker.errors import HostError, ResolutionFailed
from esker.formats.tables.shapes import near
from esker.formats.urls import redact
from esker.host import causes, files
from esker.lock.conda.client import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rattler import Channel
    from rattler.repo_data import Gateway

    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["Channels", "declared_channels", "opened", "unanswered"]


_KNOWN = ("conda-forge", "bioconda", "nvidia", "pytorch")
"""Names of channels that many people write, sometimes not quite right."""


class Channels(NamedTuple):
    """Channels, and the gateway that asks them."""

    names: tuple[str, ...]
    """As they are declared, by priority."""
    channels: list[Channel]
    gateway: Gateway
    place: str
    """The directory in which their lists of packages are kept."""


def declared_channels(declaration: Declaration | None) -> tuple[str, ...]:
    """Return the channels of a declaration; the default ones if it has none, or if there is no declaration."""
    table = declaration.esker.conda if declaration is not None else None
    return (table or CondaTable()).channels


def opened(names: Sequence[str], settings: Settings, project: str) -> Channels:
    """Return channels that can be asked; no request is made yet.

    `project` is the directory that relative channels begin at. Raises ResolutionFailed for what cannot be a channel.
    """
    ways = network(settings)
    from rattler import Channel, ChannelConfig
    from rattler.exceptions import InvalidChannelError
    from rattler.repo_data import Gateway

    try:
        channels = [Channel(name, ChannelConfig(root_dir=project)) for name in names]
    except (InvalidChannelError, ValueError) as error:
        raise ResolutionFailed(
            f"a channel of [plugins.esker.conda] is not valid: {redact(str(error))}", hint="correct it: esker edit"
        ) from error
    gateway = Gateway.from_config(ways.config, cache_dir=ways.repodata, client=ways.client)  # type: ignore[arg-type]
    return Channels(tuple(names), channels, gateway, ways.repodata)


_SAYS_NOTHING = "Caused by: other error"


def unanswered(told: str, channels: Channels) -> HostError:
    """Return the error for channels of which one did not answer as it should, from what rattler `told` of it.

    It may also be that the answer could not be kept on this machine, as on a full disk.
    """
    number = re.search(r"\(os error (\d+)\)", told)
    if number is not None and (causes.remedy(int(number[1])) or int(number[1]) in {errno.EACCES, errno.EPERM}):
        try:
            with files.refused("keep the lists of packages in", channels.place):
                raise OSError(int(number[1]), os.strerror(int(number[1])))
        except HostError as refusal:
            return refusal
    named = ", ".join(channels.names)
    # The last cause is the one that a person can act on; those before it say which request of rattler's failed.
    causes_told = " ".join(told.replace(_SAYS_NOTHING, "").split()).split("Caused by: ")
    reason = redact(next((each for each in reversed(causes_told) if each), told))
    if re.search(r"\b(401|403)\b", told):
        return HostError(
            f"the channel refuses access: {named}: {reason}",
            hint="put its user and password, or its token, into ~/.rattler/credentials.json",
        )
    if re.search(r"\b404\b", told):
        slips = (near(name, _KNOWN) for name in channels.names if name not in _KNOWN)
        hint = next(filter(None, slips), "correct `channels` in [plugins.esker.conda]")
        return HostError(f"there is no such channel: {named}: {reason}", hint=hint)
    return HostError(
        f"a conda channel cannot be reached: {named}: {reason}", hint="is the network there, and the mirror right?"
    )
