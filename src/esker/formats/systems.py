"""Systems: the names that Flox and Nix give to a machine and its operating system, and Python's markers for them."""

from __future__ import annotations

__all__ = ["DEFAULT_SYSTEMS", "SYSTEMS", "declared_systems", "marker", "marker_values", "markers", "system_name"]

DEFAULT_SYSTEMS = ("aarch64-darwin", "aarch64-linux", "x86_64-linux")
"""The systems that an environment is locked for if it declares none; the machine's own system is added."""
SYSTEMS = ("aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux")

_MACHINES = {
    ("aarch64", "darwin"): "arm64",
    ("aarch64", "linux"): "aarch64",
    ("x86_64", "darwin"): "x86_64",
    ("x86_64", "linux"): "x86_64",
}


def system_name(sys_platform: str, machine: str) -> str:
    """Return a system's name from Python's `sys.platform` and `os.uname().machine`.

    >>> system_name("darwin", "arm64")
    'aarch64-darwin'
    """
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(machine.lower(), machine)
    return f"{machine}-{sys_platform}"


def declared_systems(declared: tuple[str, ...] | None, own: str) -> tuple[str, ...]:
    """Return the systems that an environment is locked for, sorted.

    These are the declared ones; if `declared` is None, they are the three defaults and `own`, the machine's own system.
    """
    return tuple(sorted(set(declared))) if declared is not None else tuple(sorted({*DEFAULT_SYSTEMS, own}))


def marker(system: str) -> str:
    """Return the PEP 508 marker that is true on `system`.

    >>> marker("aarch64-darwin")
    "sys_platform == 'darwin' and platform_machine == 'arm64'"
    """
    machine, _, platform = system.partition("-")
    return f"sys_platform == '{platform}' and platform_machine == '{_MACHINES[machine, platform]}'"


def markers(system: str) -> dict[str, str]:
    """Return the values of the PEP 508 marker variables that depend only on `system`."""
    machine, _, platform = system.partition("-")
    return {"sys_platform": platform, "platform_machine": _MACHINES[machine, platform], "os_name": "posix"}


def marker_values(system: str, minor: str | None = None) -> dict[str, str]:
    """Return the values of the PEP 508 marker variables on `system` with CPython of a minor version, such as `3.12`.

    >>> marker_values("x86_64-linux", "3.12")["python_full_version"]
    '3.12.0'
    """
    values = {**markers(system), "implementation_name": "cpython", "platform_python_implementation": "CPython"}
    values["platform_system"] = {"linux": "Linux", "darwin": "Darwin"}.get(values["sys_platform"], "")
    return values if minor is None else {**values, "python_version": minor, "python_full_version": f"{minor}.0"}
