"""What stands where pip would be: it says that an environment is changed by way of its manifest."""

from __future__ import annotations

__all__ = ["COMMAND", "CONFIGURATION", "EXTERNALLY_MANAGED", "MODULE"]

_REFUSAL = "this environment is made from its manifest and cannot be changed by pip"
_ADVICE = "esker install pypi/NAME"
COMMAND = f"""\
#!/bin/sh
echo "pip: {_REFUSAL}" >&2
echo "hint: {_ADVICE}" >&2
exit 1
"""
MODULE = f'''\
"""Stands where pip would be: `python -m pip` says how this environment is changed."""

if __name__ == "__main__":
    raise SystemExit("pip: {_REFUSAL}\\nhint: {_ADVICE}")

raise ModuleNotFoundError("No module named 'pip'", name="pip")
'''
# If pip itself is locked, its commands that only read still work. `install` and `uninstall` fail, because they are told
# to read a missing file; pip's error shows its name, which says why.
CONFIGURATION = f"""\
[install]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
[uninstall]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
"""
EXTERNALLY_MANAGED = f"""\
[externally-managed]
Error={_REFUSAL[0].upper()}{_REFUSAL[1:]}.
 Instead: {_ADVICE}
"""
"""The marker beside a standard library that keeps every pip from changing its prefix (PEP 668)."""
