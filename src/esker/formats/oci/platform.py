"""Platforms: the operating system and the machine that an image is for, in the words of OCI and of Flox."""

from __future__ import annotations

import msgspec

from esker.errors import Malformed

__all__ = ["Platform", "platform_of"]

_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}


class Platform(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """An operating system and a machine; in an index images stand in the order of their platforms.

    >>> str(Platform("linux", "arm64"))
    'linux/arm64'
    """

    os: str
    architecture: str
    """In Go's words, which OCI takes: `amd64`, `arm64`."""
    variant: str = ""
    """Such as `v8`; images made here have none."""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @property
    def system(self) -> str:
        """The name that Flox and Nix have for it, such as `x86_64-linux`."""
        machines = {architecture: machine for machine, architecture in _ARCHITECTURES.items()}
        return f"{machines.get(self.architecture, self.architecture)}-{self.os}"


def platform_of(system: str) -> Platform:
    """Return the platform of a system such as `x86_64-linux`; raises Malformed for one that no image can be for.

    >>> platform_of("aarch64-linux")
    Platform(os='linux', architecture='arm64', variant='')
    """
    machine, _, system_os = system.partition("-")
    if system_os != "linux" or machine not in _ARCHITECTURES:
        known = ", ".join(f"{each}-linux" for each in _ARCHITECTURES)
        raise Malformed(f"there are no images for `{system}`", hint=f"images are made for {known}")
    return Platform("linux", _ARCHITECTURES[machine])
