"""The services of a project whose plan is fresh: their specifications are in the plan, and nothing else is read.

Reading the declaration, with the modules for that, is half of what a command does until it can ask a supervisor. The
plan is stale as soon as anything has changed that it was made from, and specifications are made from nothing else. If
Compose files have a say in the services, the plan has none of them, because those depend on the caller as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from esker.activate import plan as plans
from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation
from esker.errors import ServiceError
from esker.host.frozen_dataclass import as_dict
from esker.services import specification
from esker.services.specification import ServiceSpec, specify

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.host.clock import Deadline
    from esker.services.chamber import ServiceActivation
    from esker.services.supervised.control import Supervised, Surroundings
    from esker.settings import Settings

__all__ = ["chamber", "fresh_plan", "kept_services", "planned_services"]


def kept_services(declaration: Declaration, system: str, ports: Mapping[str, int]) -> str:
    """Return what a plan keeps of the services that are declared for `system`; empty if it must not keep them."""
    if declaration.uses_compose:
        return ""
    try:
        specs = specify(declaration, system, ports)
    except ServiceError:  # a start says so
        return ""
    usual = as_dict(ServiceSpec(name="", command=""))
    records = [
        {name: value for name, value in as_dict(spec).items() if value != usual[name]} for spec in specs.values()
    ]
    return json.dumps(records) if records else ""


def planned_services(plan: Plan) -> dict[str, ServiceSpec]:
    """Return the services that a plan keeps, by name; none if it keeps none, or none that are valid."""
    try:
        specs = [specification.parse({"command": "", **record}) for record in json.loads(plan.services or "[]")]
    except (ValueError, TypeError, RecursionError):
        return {}
    return {spec.name: spec for spec in specs}


def fresh_plan(project: str, settings: Settings, environ: Mapping[str, str]) -> Plan | None:
    """Return the plan of a project for a caller with these variables, unless it is stale or may be of another state."""
    if active_generation(f"{project}/.flox", environ.get(ACTIVE_ENVIRONMENTS)) is not None:
        return None
    return plans.warm(project, settings.choices, None, settings.caller)


def chamber(
    project: str,
    settings: Settings,
    environ: Mapping[str, str],
    activation: ServiceActivation,
    bare: Declaration | None = None,
) -> Supervised:
    """Return the supervised services of a project as `supervised.chamber` does, and sooner if its plan is fresh."""
    plan = fresh_plan(project, settings, environ) if bare is None else None
    specs = planned_services(plan) if plan is not None else {}
    if plan is None or not specs:
        from esker.services.supervised.chamber import chamber as declared

        return declared(project, settings, environ, activation, bare)
    from esker.services.supervised.control import Supervised
    from esker.services.supervised.site import site_of
    from esker.services.supervised.surroundings import process_surroundings

    def surroundings(_: Collection[str], deadline: Deadline) -> Surroundings:
        return process_surroundings(specs, environ, activation, deadline)

    return Supervised(site_of(project, plan.dot_flox, settings.xdg_runtime_dir), specs, surroundings)
