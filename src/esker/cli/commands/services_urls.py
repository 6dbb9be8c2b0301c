"""`esker services urls`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.allocation import allocate
from esker.activate.compose.project import compose_project
from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared
from esker.cli.views.output import print_json, shown
from esker.cli.views.services import as_record
from esker.errors import NoEngine, ServiceError
from esker.host.runtime_directory import environment_directory
from esker.services.addresses import Published, addresses, container_ports, declared_variables
from esker.services.chamber import unknown_service
from esker.services.compose.specified import published_host, specify_containers
from esker.services.compose.unreadable import refused
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.cli.voice import Voice
    from esker.services.addresses import Address

__all__ = ["urls"]


def urls(arguments: list[str], voice: Voice) -> int:
    """Run `services urls`."""
    examples = "  esker services urls\n  esker services urls postgres --json"
    summary = "Show where each declared service is: host, port, socket, and the URLs in variables, without passwords."
    parser = Parser("services urls", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("name", nargs="*", metavar="NAME", help="services (default: all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    unread = None
    try:
        project = compose_project(declaration, settings, os.environ)
    except NoEngine as error:
        project, unread = None, error
    specs = specify_containers(project, declaration.esker.compose) if project else {}
    services = {*declaration.services_for(settings.system), *specs}
    if not services and unread is None:
        raise ServiceError(
            "Environment does not have any services defined.", hint=f"add one: {voice.program} services add postgres"
        )
    for name in options.name:
        if name not in services:
            if unread is not None:
                raise refused(f"where `{name}` is cannot be known", unread)
            raise unknown_service(name, sorted(services))
    if unread is not None:
        voice.remark(f"! where services in containers are cannot be known: {unread.message}")
    ports = allocate(declaration, settings)
    for spec in specs.values():
        ports |= {name: port for name, port in spec.ports.items() if name.isidentifier()}
    runtime = environment_directory(declaration.dot_flox, settings.xdg_runtime_dir)
    own = {
        "FLOX_ENV_PROJECT": declaration.project,
        "FLOX_ENV_CACHE": f"{declaration.dot_flox}/cache",
        "ESKER_RUNTIME_DIR": runtime,
        **{name: str(port) for name, port in ports.items()},
    }
    unknown = {variable for names in container_ports(declaration).values() for variable in names} - ports.keys()
    variables = declared_variables(declaration, {**os.environ, **own}, unknown)
    engine = os.environ.get("DOCKER_HOST", "")
    published = {
        name: Published(spec.ports, published_host(project.services[name], engine) if project else None)
        for name, spec in specs.items()
    }
    every = addresses(declaration, settings.system, ports, variables, published)
    chosen = [each for each in every if not options.name or each.service in options.name]
    if options.json:
        print_json([as_record(each) for each in chosen])
    else:
        print(shown("\n".join(line for each in chosen for line in _lines(each))))
    return 0


def _lines(address: Address) -> Iterator[str]:
    host = f"[{address.host}]" if address.host and ":" in address.host else address.host
    rows = [(name, f"{host}:{port}" if host else str(port)) for name, port in address.ports.items()]
    rows += [("socket", socket) for socket in address.sockets]
    rows += address.urls.items()
    yield address.service if rows else f"{address.service}  (no port, socket or URL is known)"
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        yield f"  {name:<{width}}  {text}"
