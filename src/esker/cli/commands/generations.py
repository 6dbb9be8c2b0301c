"""`esker generations`, and its short form `esker rollback`."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, run_group
from esker.cli.selection import changeable_project, selected_project
from esker.cli.views.output import fitted, print_json, shown
from esker.errors import UsageError
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace, _MutuallyExclusiveGroup
    from collections.abc import Iterator

    from esker.cli.voice import Voice
    from esker.store.registration import Event, Generation, Registration

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "list": "List the generations that are kept",
    "history": "Show which generation was live when",
    "switch": "Make generation N live",
    "rollback": "Make the generation live that was live before",
}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    if name == "rollback":
        return _rollback(arguments, voice, name)
    functions = {"list": _list, "history": _history, "switch": _switch, "rollback": _rollback}
    words = ["--help"] if arguments[:1] == ["help"] else arguments
    return run_group(name, words, voice, COMMANDS, functions)


def _list(arguments: list[str], voice: Voice) -> int:
    examples = "  esker generations list\n  esker generations list --json"
    summary = "List the generations of an environment that are kept, the newest first; `*` marks the one that is live."
    parser = Parser("generations list", summary, examples, voice=voice)
    forms = _add_reading_options(parser)
    forms.add_argument("-t", "--tree", action="store_true", help="show which generation came from which")
    parser.add_argument("-u", "--upstream", action="store_true", help=SUPPRESS)
    options = parser.parse_args(arguments)
    if options.upstream:
        raise UsageError("`--upstream` is for environments on FloxHub, which Esker does not support yet")
    known = _known(options)
    if options.json:
        print_json({str(each.number): _record(each, known) for each in known.generations})
        return 0
    if not known.generations:
        voice.say(_NONE.format(program=voice.program))
    lines = _tree(known) if options.tree else [_line(each, known) for each in reversed(known.generations)]
    for line in lines:
        print(fitted(shown(line)))
    return 0


def _history(arguments: list[str], voice: Voice) -> int:
    examples = "  esker generations history\n  esker generations history --json"
    summary = "Show when each generation was made, and when it became live again; the latest comes first."
    parser = Parser("generations history", summary, examples, voice=voice)
    _add_reading_options(parser)
    options = parser.parse_args(arguments)
    known = _known(options)
    if options.json:
        print_json([_event_record(each, known) for each in known.events])
        return 0
    if not known.events:
        voice.say(_NONE.format(program=voice.program))
    for event in reversed(known.events):
        print(fitted(shown(_event_line(event, known))))
    return 0


_NONE = "! There are no generations yet: the first activation or installation makes one ('{program} activate')."


def _switch(arguments: list[str], voice: Voice) -> int:
    summary = (
        "Make a generation live: activations have its packages, variables, hook and services, until manifest or lock "
        "change. No file of the project is written."
    )
    parser = Parser("generations switch", summary, "  esker generations switch 3", voice=voice)
    add_directory(parser)
    parser.add_argument("number", type=int, metavar="N", help="the number of the generation")
    options = parser.parse_args(arguments)
    return _go(options, options.number, voice)


def _rollback(arguments: list[str], voice: Voice, name: str = "generations rollback") -> int:
    summary = (
        "Make the generation live that was live before; a second rollback comes back. It holds until manifest or lock "
        "change. No file of the project is written."
    )
    stray = "name a generation with: esker generations switch"
    parser = Parser(name, summary, f"  esker {name}", voice=voice, stray=stray)
    add_directory(parser)
    return _go(parser.parse_args(arguments), None, voice)


def _go(options: Namespace, number: int | None, voice: Voice) -> int:
    from esker.declare.load import load
    from esker.runtimes.native.links import go_to

    project = changeable_project(options, os.environ)
    generation = go_to(load(project), Settings(os.environ), number)
    voice.say(f"✔ Switched to generation {generation.number}")
    return 0


def _add_reading_options(parser: Parser) -> _MutuallyExclusiveGroup:
    add_directory(parser)
    parser.add_argument("--no-pager", action="store_true", help=SUPPRESS)  # Esker starts none
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print them as JSON")
    return forms


def _known(options: Namespace) -> Registration:
    from esker.declare.generations import run_link
    from esker.declare.load import environment_name
    from esker.store.built import BuiltStore
    from esker.store.roots import registered

    project, settings = selected_project(options, os.environ), Settings(os.environ)
    link = run_link(project, environment_name(project), settings.system, "dev")
    return registered(BuiltStore(settings.store_root), link)


def _record(generation: Generation, known: Registration) -> dict[str, object]:
    """Return a generation as Flox's `--json` has it; times in seconds since the epoch, the live one's end is null."""
    ended = known.last_live(generation.number)
    return {
        "parent": generation.parent,
        "created": int(generation.made_at),
        "last_live": None if ended is None else int(ended),
        "description": generation.description,
    }


def _line(generation: Generation, known: Registration) -> str:
    from esker.host.clock import local_minute

    mark, ended = "*" if generation.current else " ", known.last_live(generation.number)
    until = "live now" if generation.current else f"live until {local_minute(ended)}" if ended else ""
    return f"{mark} {generation.number:>3}  {local_minute(generation.made_at)}  {until:<27}  {generation.description}"


def _tree(known: Registration) -> Iterator[str]:
    """Yield the lines of the tree: each generation below the one that was live when it was made, if that is kept."""
    numbers = {each.number for each in known.generations}
    below: dict[int | None, list[Generation]] = {}
    for each in known.generations:
        is_kept = each.parent in numbers and each.parent < each.number
        below.setdefault(each.parent if is_kept else None, []).append(each)

    def lines(parent: int | None, before: str) -> Iterator[str]:
        for each in (siblings := below.get(parent, [])):
            is_last = each is siblings[-1]
            fork, under = ("└── ", "    ") if is_last else ("├── ", "│   ")
            mark = " (live)" if each.current else ""
            yield f"{before}{fork if parent is not None else ''}{each.number}{mark}  {each.description}"
            yield from lines(each.number, before + (under if parent is not None else ""))

    yield from lines(None, "")


def _event_record(event: Event, known: Registration) -> dict[str, object]:
    kind = "switch_generation" if not event.is_new else "initialize" if event.previous is None else "other"
    record: dict[str, object] = {"kind": kind, "timestamp": int(event.time), "current_generation": event.generation}
    if event.previous is not None:
        record["previous_generation"] = event.previous
    if kind == "other":
        record["summary"] = _description(event, known)
    return record


def _event_line(event: Event, known: Registration) -> str:
    from esker.host.clock import local_minute

    what = f"made: {_description(event, known)}" if event.is_new else f"switched to, from generation {event.previous}"
    return f"{local_minute(event.time)}  {event.generation:>3}  {what}"


def _description(event: Event, known: Registration) -> str:
    return next((it.description for it in known.generations if it.number == event.generation), "not kept any more")
