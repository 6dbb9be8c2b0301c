"""`esker search` and `esker show`: what conda channels offer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared_if_any
from esker.cli.views.output import print_json, shown
from esker.errors import NotFound, UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.lock.conda.channels import Channels
    from esker.settings import Settings

__all__ = ["run"]

_MOST = 10
"""How many packages, or older versions of one, are shown without `--all`: Flox's number."""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `search` or `show`."""
    return _search(arguments, voice) if name == "search" else _show(arguments, voice)


def _search(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.offers import found_lines, found_records
    from esker.declare.conda_edit import CONDA
    from esker.declare.edit import ORIGIN
    from esker.declare.tool_wheels import wheel_of
    from esker.formats.counted import counted
    from esker.lock.conda.offers import matches, names, offers
    from esker.settings import Settings

    examples = "  esker search htop\n  esker search --all python\n  esker search jq --json"
    summary = (
        "Search the environment's conda channels for packages by a part of their names; without an environment, the "
        "default channel. Each is shown with its newest version, its licence and the systems that have it. A package "
        "index of Python cannot be searched: its packages are named as pypi/NAME."
    )
    parser = Parser("search", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("term", metavar="TERM", help="a part of a package's name")
    parser.add_argument("-a", "--all", action="store_true", help=f"show all packages (default: the first {_MOST})")
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    term = options.term.strip().removeprefix(CONDA)
    if term.startswith(ORIGIN):
        raise UsageError("PyPI cannot be searched", hint=f"if it is named so, take it: {voice.program} install {term}")
    if not term:
        raise UsageError("No search term provided.", hint=f"give a part of a name: {voice.program} search htop")
    settings = Settings(os.environ)
    channels = _channels(declared_if_any(options, os.environ, voice), settings)
    found, wheel = matches(names(channels), term), wheel_of(term)
    chosen = found.names if options.all else found.names[:_MOST]
    offered = list(offers(channels, chosen, settings.system).values())
    where = ", ".join(channels.names)
    if not offered and wheel is None:
        raise NotFound(
            f"No packages matched this search term: '{term}'",
            hint=f"{where} has none; PyPI cannot be searched: a Python package is named pypi/NAME",
        )
    if options.json:
        print_json(found_records(offered, wheel))
        return 0
    if found.are_near and offered:
        voice.say(f"! No package of {where} has `{term}` in its name; these are spelt much like it:")
    for line in found_lines(offered, wheel, term):
        print(shown(line))
    if len(chosen) < len(found.names):
        more = f"{voice.program} search {term} --all"
        voice.say(f"Showing {len(chosen)} of {counted(len(found.names), 'package')}: see all with '{more}'")
    voice.say(f"More about a package: {voice.program} show conda/NAME")
    voice.say("PyPI cannot be searched: a Python package is named pypi/NAME")
    return 0


def _show(arguments: list[str], voice: Voice) -> int:
    from esker.declare.conda_edit import CONDA
    from esker.declare.edit import ORIGIN
    from esker.settings import Settings

    examples = "  esker show conda/htop\n  esker show conda/python --all\n  esker show conda/jq --json"
    summary = (
        "Show what the environment's conda channels have of a package: its versions with their systems, and the "
        "licence, size and dependencies of the newest. Of a Python package, show what is locked."
    )
    parser = Parser("show", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", metavar="PACKAGE", help="a package: conda/NAME or pypi/NAME")
    parser.add_argument("-a", "--all", action="store_true", help=f"show all versions (default: the newest {_MOST + 1})")
    parser.add_argument("--json", action="store_true", help="print the description as JSON")
    options = parser.parse_args(arguments)
    origin, _, name = options.package.rpartition("/")
    if f"{origin}/" not in {CONDA, ORIGIN} or not name:
        raise UsageError(
            f"`{options.package}` does not say where the package comes from",
            hint=f"put its origin before its name: {CONDA}{name or 'NAME'} or {ORIGIN}{name or 'NAME'}",
        )
    settings, declaration = Settings(os.environ), declared_if_any(options, os.environ, voice)
    if f"{origin}/" == CONDA:
        record, lines = _conda(name, declaration, settings, most=None if options.all else _MOST)
    else:
        record, lines = _python(name, declaration, settings, voice)
    if options.json:
        print_json(record)
        return 0
    for line in lines:
        print(shown(line))
    return 0


def _conda(
    text: str, declaration: Declaration | None, settings: Settings, *, most: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the record and the lines that describe a conda package; raises NotFound with near names."""
    from esker.cli.views.offers import offer_lines, offer_record
    from esker.formats.conda.specs import package_of_spec
    from esker.formats.tables.reader import near
    from esker.lock.conda.offers import names, offers
    from esker.lock.lock_files import read_conda_lock

    name = text.lower()
    if package_of_spec(text) != name:
        raise UsageError(f"`{text}` is not the name of a conda package", hint="give the name alone, as in conda/ruby")
    channels = _channels(declaration, settings)
    offer = offers(channels, [name], settings.system).get(name)
    if offer is None:
        raise NotFound(
            f"there is no conda package `{name}` in {', '.join(channels.names)}",
            hint=near(name, names(channels)) or f"search for a part of its name: esker search {name[:4]}",
        )
    lock = read_conda_lock(declaration) if declaration is not None else None
    packages = lock.packages.get(settings.system, ()) if lock is not None else ()
    locked = next((each.version for each in packages if each.name == name), None)
    return offer_record(offer, locked), list(offer_lines(offer, locked, most))


def _python(
    text: str, declaration: Declaration | None, settings: Settings, voice: Voice
) -> tuple[dict[str, Any], list[str]]:
    """Return the record and the lines for what is known here of a Python package; raises NotFound if that is nothing.

    A package index has no page that is the same everywhere, so what is locked is told, and the wheel of a known tool.
    """
    from packaging.utils import canonicalize_name

    from esker.declare.edit import ORIGIN
    from esker.declare.tool_wheels import tools_of, wheel_of
    from esker.formats.systems import declared_systems
    from esker.lock.listing import applies
    from esker.lock.lock_files import read_python_lock

    name, wheel = canonicalize_name(text), wheel_of(text)
    tools = tools_of(name)
    lock = read_python_lock(declaration) if declaration is not None else None
    packages = [each for each in lock.packages if each.name == name] if lock is not None else []
    locked_for = declared_systems(declaration.manifest.options.systems if declaration else None, settings.system)
    systems = [each for each in locked_for if any(applies(package, each) for package in packages)]
    if not packages and not tools and wheel is None:
        raise NotFound(
            f"`{ORIGIN}{name}` is not locked here, and Esker cannot ask a package index to describe it",
            hint=f"see what it would bring: {voice.program} install --dry-run {ORIGIN}{name}",
        )
    versions = sorted({str(each.version or "from a source") for each in packages})
    needs = sorted({str(edge["name"]) for each in packages for edge in each.dependencies or ()})
    record = {
        "name": name,
        "origin": "pypi",
        "source": f"{ORIGIN}{name}",
        "locked": versions,
        "systems": systems,
        "needs": needs,
        "tools": list(tools),
        "wheel": wheel,
    }
    told = {
        "Locked": ", ".join(versions),
        "Systems": ", ".join(systems),
        "Needs": ", ".join(needs),
        "Tools": ", ".join(tools),
        "Wheel": f"{ORIGIN}{wheel} carries the tool `{text.lower()}`" if wheel not in {None, name} else "",
    }
    return record, [f"{ORIGIN}{name}", *(f"{label + ':':<9}{value}" for label, value in told.items() if value)]


def _channels(declaration: Declaration | None, settings: Settings) -> Channels:
    from esker.lock.conda.channels import declared_channels, opened

    return opened(declared_channels(declaration), settings, declaration.project if declaration else os.getcwd())
