"""Whether this machine has a way to other networks: a default route, as the kernel lists them.

`/proc/net/route` has a line for each IPv4 route: device, destination and gateway as hexadecimal numbers, flags, and
more. In `/proc/net/ipv6_route` the destination comes first, then the length of its prefix, and at the end the flags
and the device.
"""

from __future__ import annotations

__all__ = ["has_way_out"]

_IPV4, _IPV6 = "/proc/net/route", "/proc/net/ipv6_route"
_REJECTS = 0x200
"""The flag of a route that refuses what is sent; the kernel has one for IPv6 on each machine."""


def has_way_out(ipv4: str = _IPV4, ipv6: str = _IPV6) -> bool:
    """Return whether a route leads to all other networks, or to half of them, as a VPN's may.

    The answer is true if nobody can tell.
    """
    try:
        with open(ipv4, encoding="ascii") as file:
            lines = [line.split() for line in file]
        if any(fields[1] == "0" * 8 and not int(fields[3], 16) & _REJECTS for fields in lines[1:]):
            return True
    except (OSError, ValueError, IndexError):
        return True
    try:
        with open(ipv6, encoding="ascii") as file:
            lines = [line.split() for line in file]
        return any(_is_wide(fields[0], fields[1]) and not int(fields[8], 16) & _REJECTS for fields in lines)
    except FileNotFoundError:  # a kernel without IPv6
        return False
    except (OSError, ValueError, IndexError):
        return True


def _is_wide(destination: str, length: str) -> bool:
    """Return whether these are all addresses, or all that the internet has (`2000::/3`)."""
    return int(length, 16) <= 3 and destination.lstrip("0") in {"", f"2{'0' * 31}", f"8{'0' * 31}"}  # noqa: PLR2004
