"""What the services of this machine get from an activation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.services.specification import passed_variables
from esker.services.supervised.control import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.difference import Activation
    from esker.host.clock import Deadline
    from esker.services.chamber import ServiceActivation
    from esker.services.specification import ServiceSpec

__all__ = ["process_surroundings"]


def process_surroundings(
    specs: Mapping[str, ServiceSpec], environ: Mapping[str, str], activation: ServiceActivation, deadline: Deadline
) -> Surroundings:
    """Begin an activation for a caller with the variables `environ`, and return what processes get of it."""
    path = {"PATH": environ.get("PATH", os.defpath)}
    begun = activation(passed_variables(environ) | path, deadline)
    variables = {
        name: {**begun.activation.apply(passed_variables(environ, spec.pass_env) | path), **spec.vars}
        for name, spec in specs.items()
        if spec.container is None
    }
    return _surroundings(variables, begun.activation)._replace(begun=begun)


def _surroundings(variables: Mapping[str, Mapping[str, str]], activation: Activation) -> Surroundings:
    """Return what services get: their variables, the paths they must be able to enter, and the store paths to protect.

    The paths follow from FLOX_ENV, which is a link into a store if the environment is in one. We protect paths only in
    a store of Esker's; the owner of any other store, such as Nix's, protects its own.
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
