"""`esker store`."""

from __future__ import annotations

import os

from esker.cli.arguments import Parser, run_group
from esker.cli.views.output import print_json
from esker.errors import StoreError, UsageError
from esker.formats.counted import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.store.store import Store

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "gc": "delete paths and blobs of images that nothing uses",
    "verify": "check that no path has changed",
    "path-info": "show the sizes and records of paths",
    "size": "show how much the paths and the blobs of images take",
}
_MEGABYTE = 1_000_000
_BLOB = ("blob of images", "blobs of images")


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `store COMMAND`."""
    functions = {"gc": _gc, "verify": _verify, "path-info": _path_info, "size": _size}
    return run_group(name, arguments, voice, COMMANDS, functions)


def _gc(arguments: list[str], voice: Voice) -> int:
    from esker.runtimes.native.one_off import discard_unused
    from esker.settings import Settings
    from esker.store.collect import collect

    examples = (
        "  esker store gc\n  esker store gc --keep 1      leave nothing to roll back to\n  esker store gc --dry-run"
    )
    parser = Parser(
        "store gc",
        "Delete paths that no environment, no kept generation and no running process uses, and blobs of no image.",
        examples,
        voice=voice,
    )
    keep = "generations to keep for each environment (default: 5)"
    parser.add_argument("--keep", type=int, default=5, metavar="N", help=keep)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    if options.keep < 1:
        raise UsageError(f"--keep is {options.keep}, but the current profile is always kept", hint="give 1 or more")
    dry = options.dry_run
    if not dry:
        discard_unused(Settings(os.environ))
    collected = collect(_store(), keep=options.keep, progress=voice.progress(), dry_run=dry)
    if options.json:
        record = collected._asdict()
        deleted = {"deleted": record["paths"], "unfinished": collected.unfinished, "blobs": record["blobs"]}
        print_json({**deleted, "freed": collected.freed, "dry_run": dry})
        return 0
    for path in (*collected.paths, *collected.blobs):
        print(path)
    outcome = "would be freed" if dry else "freed"
    of_images = f", {counted(len(collected.blobs), *_BLOB)}" if collected.blobs else ""
    paths = counted(len(collected.paths), "path")
    left = f", {collected.unfinished} that killed commands had left" if collected.unfinished else ""
    voice.say(f"✔ {paths}{left}{of_images}, {collected.freed / _MEGABYTE:.1f} MB {outcome}")
    return 0


def _verify(arguments: list[str], voice: Voice) -> int:
    from esker.store import image_blobs
    from esker.store.verify import discard_damaged, unusable, verify

    parser = Parser(
        "store verify",
        "Check that no path and no blob of an image has changed since it was made; exit with status 1 if one has.",
        "  esker store verify\n  esker store verify --repair      delete what has changed; activate to make it again",
        voice=voice,
    )
    parser.add_argument("path", nargs="*", help="store paths (default: all, and the blobs of images)")
    parser.add_argument("--repair", action="store_true", help="delete damaged paths, and the paths that need them")
    parser.add_argument("--json", action="store_true", help="print the damaged paths as JSON")
    options = parser.parse_args(arguments)
    store = _store()
    damaged = verify(store, store.named(options.path) or None, voice.progress())
    blobs = [] if options.path else image_blobs.damaged(store, voice.progress())
    every = [*damaged, *blobs]
    if options.json:
        print_json([{"path": each.path, "reason": each.reason} for each in every])
    elif not every:
        voice.say(f"✔ {counted(len(options.path or store.paths()), 'path is', 'paths are')} unchanged")
    projects = _projects(store, unusable(store, damaged)) if damaged else []
    if every and options.repair:
        image_blobs.discard(store, [each.path for each in blobs])
        for path in (*discard_damaged(store, damaged), *(each.path for each in blobs)):
            voice.say(f"✔ deleted `{path}`")
        for project in projects:
            voice.say(f"! the environment of `{project}` needs them: its next activation makes them again")
        if damaged and not projects:
            voice.say("  no environment uses them now")
    elif every:
        listed = "; ".join(f"`{each.path}`: {each.reason}" for each in every)
        users = f" (used in {', '.join(f'`{project}`' for project in projects)})" if projects else ""
        raise StoreError(
            f"damaged {'store paths' if damaged else 'blobs of images'}{users}: {listed}",
            hint="delete them with all that needs them: esker store verify --repair; then "
            f"{'activate again' if damaged else 'build the image again'}, which makes them anew",
        )
    return 0


def _projects(store: Store, paths: list[str]) -> list[str]:
    """Return the project directories whose environments lead to one of the paths."""
    from esker.store.roots import links_to

    return sorted({link.partition("/.flox/run/")[0] for link in links_to(store, paths)})


def _path_info(arguments: list[str], voice: Voice) -> int:
    parser = Parser(
        "store path-info",
        "Show the sizes of store paths; with --json their records.",
        "  esker store path-info --json",
        voice=voice,
    )
    parser.add_argument("path", nargs="*", help="store paths (default: all)")
    parser.add_argument("--json", action="store_true", help="print the records as JSON")
    options = parser.parse_args(arguments)
    store = _store()
    records = [store.record(path) for path in store.named(options.path) or store.paths()]
    if options.json:
        print_json([record._asdict() for record in records])
        return 0
    for record in records:
        print(f"{record.nar_size / _MEGABYTE:>10.1f} MB  {record.path}")
    return 0


def _size(arguments: list[str], voice: Voice) -> int:
    from esker.store.image_blobs import blobs

    parser = Parser(
        "store size",
        "Show how many bytes the store holds: its paths, and the blobs of images.",
        "  esker store size\n  esker store size --json",
        voice=voice,
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args(arguments)
    store = _store()
    paths = [store.record(path).nar_size for path in store.paths()]
    of_images = [blob.size for blob in blobs(store)]
    if options.json:
        numbers = {"paths": paths, "blobs": of_images}
        print_json({name: {"count": len(sizes), "size": sum(sizes)} for name, sizes in numbers.items()})
        return 0
    for sizes, what in ((paths, ("path",)), (of_images, _BLOB)):
        print(f"{sum(sizes) / _MEGABYTE:>10.1f} MB  {counted(len(sizes), *what)}")
    return 0


def _store() -> Store:
    from esker.settings import Settings
    from esker.store.store import Store

    return Store(Settings(os.environ).store_root)
