"""How an environment gets the supervised chamber: from its declaration, and from what its runtime gives at a start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.allocation import allocate
from esker.declare.load import load
from esker.host.runtime_directory import environment_directory
from esker.services.specification import passed_variables, specify
from esker.services.supervised.control import Supervised, Surroundings
from esker.services.supervised.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.difference import Activation
    from esker.host.clock import Deadline
    from esker.services.chamber import ServiceActivation
    from esker.settings import Settings

__all__ = ["chamber"]


def chamber(project: str, settings: Settings, environ: Mapping[str, str], activation: ServiceActivation) -> Supervised:
    """Return the supervised services of a project (absolute, links resolved) for a caller with these variables.

    What a service sees is a short list of the caller's variables, what the runtime changes, and the service's own
    `vars`: the same whoever starts it, from wherever. `activation` is called when something starts.
    """
    declaration = load(project)
    specs = specify(declaration, settings.system, allocate(declaration, settings))
    site = Site(
        project=declaration.project,
        dot_flox=declaration.dot_flox,
        runtime=environment_directory(declaration.dot_flox, settings.xdg_runtime_dir),
    )

    def surroundings(deadline: Deadline) -> Surroundings:
        path = {"PATH": environ.get("PATH", os.defpath)}
        given = activation(passed_variables(environ) | path, deadline)
        variables = {
            name: {**given.apply(passed_variables(environ, spec.pass_env) | path), **spec.vars}
            for name, spec in specs.items()
        }
        return _surroundings(variables, given)

    return Supervised(site, specs, surroundings)


def _surroundings(variables: Mapping[str, Mapping[str, str]], activation: Activation) -> Surroundings:
    """Return what services of an activation are given, with what they must be able to enter and what must be kept.

    Both follow from the link that an activation of a store's environment names in FLOX_ENV. Paths of a store that is
    not Esker's, such as Nix's own, are kept by whoever owns that store.
    """
    link = activation.set.get("FLOX_ENV")
    if link is None or not os.path.islink(link):
        return Surroundings(variables)
    store_path, python = os.readlink(link), f"{link}/bin/python"
    directory = os.path.dirname(store_path)
    root = os.path.dirname(directory)
    interpreter = [os.path.realpath(python)] if os.path.exists(python) else []
    paths = tuple(dict.fromkeys((directory, *interpreter)))
    is_ours = os.path.isdir(f"{root}/var/esker")
    return Surroundings(variables, paths, root if is_ours else "", (store_path,) if is_ours else ())
