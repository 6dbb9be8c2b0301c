"""Making the supervised chamber of an environment, from its declaration and its runtime's activation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.allocation import allocate
from esker.declare.load import load
from esker.host.runtime_directory import environment_directory
from esker.lock.compose import composed_if_possible
from esker.services.specification import passed_variables, specify
from esker.services.supervised.control import Supervised, Surroundings
from esker.services.supervised.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.difference import Activation
    from esker.host.clock import Deadline
    from esker.services.chamber import ServiceActivation
    from esker.settings import Settings

__all__ = ["chamber", "running"]


def chamber(project: str, settings: Settings, environ: Mapping[str, str], activation: ServiceActivation) -> Supervised:
    """Return the supervised services of a project (absolute, links resolved) for a caller with these variables.

    A service gets a short list of the caller's variables, the runtime's changes, and its own `vars`. So it sees the
    same, whoever starts it and from whichever directory. `activation` is called only when services start.
    """
    # What cannot be merged now is told when the services start: their activation prepares the environment.
    declaration, _ = composed_if_possible(load(project), settings)
    specs = specify(declaration, settings.system, allocate(declaration, settings))

    def surroundings(deadline: Deadline) -> Surroundings:
        path = {"PATH": environ.get("PATH", os.defpath)}
        begun = activation(passed_variables(environ) | path, deadline)
        variables = {
            name: {**begun.activation.apply(passed_variables(environ, spec.pass_env) | path), **spec.vars}
            for name, spec in specs.items()
        }
        return _surroundings(variables, begun.activation)._replace(begun=begun)

    return Supervised(_site(project, settings), specs, surroundings)


def running(project: str, settings: Settings) -> Supervised:
    """Return the services that run in a project whose manifest cannot be read: to look at them, and to stop them."""
    return Supervised(_site(project, settings), {}, lambda _deadline: Surroundings({}))


def _site(project: str, settings: Settings) -> Site:
    project = os.path.realpath(project)
    dot_flox = f"{project}/.flox"
    return Site(project=project, dot_flox=dot_flox, runtime=environment_directory(dot_flox, settings.xdg_runtime_dir))


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
