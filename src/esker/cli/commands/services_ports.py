"""`esker services ports`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.allocation import allocate
from esker.activate.compose.docker_command import check_compose
from esker.activate.compose.project import compose_project, forget, needed_files, other_ports, port_variables
from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import RUNTIME, SERVICES_FROM
from esker.cli.selection import declared
from esker.cli.views.output import print_json
from esker.errors import NoEngine
from esker.runtimes.native.links import forget_plans
from esker.services.chamber import unknown_service
from esker.services.compose.unreadable import refused
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

    from esker.activate.compose.project import ComposeProject
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration

__all__ = ["ports"]


def ports(arguments: list[str], voice: Voice) -> int:
    """Run `services ports`."""
    examples = "  esker services ports\n  esker services ports --renew\n  esker services ports postgres --renew"
    parser = Parser("services ports", "Show the ports of this checkout, or choose new ones.", examples, voice=voice)
    add_directory(parser)
    parser.add_options([SERVICES_FROM, RUNTIME])
    parser.add_argument("name", nargs="*", metavar="NAME", help="only the ports of these services (default: of all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--renew", action="store_true", help="choose new automatic ports")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    if options.renew and needed_files(declaration, settings, os.environ):
        check_compose(os.environ)  # before anything is given up that it has to say again
    containers = _containers(declaration, settings, options, voice)
    tables = declaration.esker.services
    services = {*declaration.services_for(settings.system), *tables, *(containers.services if containers else ())}
    for name in options.name:
        if name not in services:
            raise unknown_service(name, sorted(services))
    wanted = {*options.name} or services
    chosen = allocate(declaration, settings, renew=wanted if options.renew else ())
    if options.renew:
        forget_plans(declaration)
        forget(declaration)
        containers = _containers(declaration, settings, options, voice)
        automatic = any(0 in table.ports.values() for name, table in tables.items() if name in wanted)
        if automatic or (containers is not None and containers.has_override and wanted & containers.services.keys()):
            voice.say("✔ Services will use their new ports when they next start.")
            if services_are_running(declaration.dot_flox):  # on the old ports, while activations have the new ones
                voice.say(f"! For those that run: {voice.program} services start --recreate")
        else:
            voice.say("! No port is automatic, so none has changed: declare it as 0 to let Esker choose it.")
    shown = {variable: chosen[variable] for name, table in tables.items() if name in wanted for variable in table.ports}
    if containers is not None:
        shown |= port_variables(containers, declaration, *options.name)
        shown |= other_ports(containers, declaration, *options.name)
    if options.json:
        print_json(shown)
    else:
        for variable, port in sorted(shown.items()):
            print(f"{variable}={port}")
    return 0


def _containers(
    declaration: Declaration, settings: Settings, options: Namespace, voice: Voice
) -> ComposeProject | None:
    """Return the Compose project, or None without one; where nobody can read it, only processes may be named."""
    try:
        return compose_project(declaration, settings, os.environ)
    except NoEngine as error:
        if strange := [name for name in options.name if name not in declaration.services_for(settings.system)]:
            raise refused(f"the ports of `{strange[0]}` cannot be known", error) from error
        voice.remark(f"! the ports of containers cannot be known: {error.message}")
        return None
