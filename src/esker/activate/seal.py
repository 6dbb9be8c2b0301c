"""The seal of a plan: it shows the prompt that this user's Esker has made the plan, and from which content.

A plan lies in the project, so whoever sends a project can put one there, with any hook in it. An explicit `activate`
may take it, because it runs the project's code anyway. At the prompt only the content that the user has allowed may
run. So Esker signs each plan with a key of the user, and writes into it the hash of what it was made from.
"""

from __future__ import annotations

from esker.formats import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import blake2b

    from esker.activate.plan import Plan
else:
    try:
        from _blake2 import blake2b  # importing `hashlib` would load OpenSSL
    except ImportError:
        from hashlib import blake2b

__all__ = ["is_sealed", "sealed"]


def sealed(plan: Plan, made_from: str, key: bytes) -> Plan:
    """Return the plan with a seal that says what it was made from."""
    named = type(plan)(**{**plan.record(), "made_from": made_from})
    return type(plan)(**{**named.record(), "seal": _seal(named, key)})


def is_sealed(plan: Plan, key: bytes) -> bool:
    """Return whether a plan, as it was read from a file, has the seal that this key gives it."""
    return plan.seal == _seal(plan, key)  # nobody can measure how long this takes, and try again


def _seal(plan: Plan, key: bytes) -> str:
    text = json_text.render({**plan.record(), "seal": ""})
    return blake2b(text.encode("ascii"), digest_size=32, key=key).hexdigest()
