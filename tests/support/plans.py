"""Plans that tests make, without a project to prepare."""

from __future__ import annotations

from typing import Any

from esker.activate import plan

__all__ = ["a_plan"]


def a_plan(project: str = "/p", *, name: str = "app", mode: str = "dev", **fields: Any) -> plan.Plan:
    """Return the plan of a project, with every other field that is not given as simple as it can be."""
    simple: dict[str, Any] = {
        "system": "x86_64-linux",
        "flox_env": f"{project}/.flox/run/x86_64-linux.{name}-{mode}",
        "store_path": "/nix/store/00000000000000000000000000000000-profile",
        "stats": (),
    }
    return plan.completed(plan.Plan(project=project, name=name, mode=mode, **{**simple, **fields}))
