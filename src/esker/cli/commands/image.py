"""`esker image`: make images, send them to registries, and look into them."""

from __future__ import annotations

import os

from esker.cli.arguments import Parser, run_group
from esker.cli.making_images import add_options, made, settings_of, tell_left_out, tell_remarks
from esker.cli.views.output import print_json, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from contextlib import AbstractContextManager

    from esker.cli.built import Built
    from esker.cli.voice import Voice
    from esker.formats.oci.reference import Reference
    from esker.settings import Settings
    from esker.ship.bills import Attached
    from esker.ship.image.stored import Source, StoredImage

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "build": "make the project's image, for all its systems",
    "push": "send the project's image to its registry",
    "inspect": "show what the project's image holds, and why; or what another image holds",
    "diff": "show how two images differ, layer by layer",
    "verify": "compute every digest of an image again",
    "sbom": "print the bill of materials of the project's image",
}
_NAME_OF_ONE = "name an image in a registry: registry.example/app:1.0; or leave --sbom out"
_AGAIN_IN_REGISTRY = "do not use it; once the damaged blobs are deleted in the registry, push the image again"
_AGAIN_HERE = (
    "get it again from where it came from; if Esker has made it here, move it away and write it once more; if it is "
    "damaged again, so is what this machine keeps: esker store verify --repair"
)
_TARGET = "a directory with an OCI layout, an archive of one, or the name of an image in a registry"


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `image COMMAND`."""
    functions = {
        "build": _build,
        "push": _push,
        "inspect": _inspect,
        "diff": _diff,
        "verify": _verify,
        "sbom": _sbom,
    }
    return run_group(name, arguments, voice, COMMANDS, functions)


def _making(name: str, summary: str, examples: str, voice: Voice) -> Parser:
    parser = Parser(f"image {name}", summary, examples, voice=voice)
    add_options(parser)
    only = "make it for this system alone; may be given several times"
    parser.add_argument("--system", choices=("aarch64-linux", "x86_64-linux"), action="append", help=only)
    return parser


def _build(arguments: list[str], voice: Voice) -> int:
    from esker.cli.built import unchanged
    from esker.cli.selection import selected_project
    from esker.cli.views.built_image import built_text

    examples = (
        "  esker image build\n  esker image build --layout ./layout\n"
        "  esker image build --system aarch64-linux -f app.tar"
    )
    parser = _making("build", "Make the image of the project, for each of its systems.", examples, voice)
    parser.add_argument("--layout", metavar="DIR", help="write it into a directory, as an OCI layout")
    parser.add_argument("-f", "--file", metavar="FILE", help="write an archive into a file, or with `-` to stdout")
    parser.add_argument("--json", action="store_true", help="print digests and layers as JSON")
    options = parser.parse_args(arguments)
    if options.layout == "":  # of a variable that is not set: the layout would be the root of this machine
        from esker.errors import UsageError

        raise UsageError("`--layout` names no directory", hint="name one, or leave it out")
    project, settings = selected_project(options, os.environ), settings_of(options)
    built = unchanged(project, options, settings)
    if built is None:
        built = _built(project, options, settings, voice)
    else:
        tell_left_out(built["left_out"], voice)
        tell_remarks(built["remarks"], voice)
    if options.layout is not None:
        voice.say(f"✔ {built['record']['name']} written to `{options.layout}`")
    if options.file is not None and options.file != "-":
        voice.say(f"✔ {built['record']['name']} written to `{options.file}`")
    if options.file == "-":
        return 0
    if options.json:
        print_json(built["record"])
        return 0
    print(built_text(built["record"]))
    return 0


def _built(project: str, options: Namespace, settings: Settings, voice: Voice) -> Built:
    """Make the image and write it where the options say."""
    from esker.cli.built import keep
    from esker.cli.commands.containerize import write
    from esker.ship.image.layout import write_layout
    from esker.ship.kept_image import now

    since = now()
    image, reference = made(options, voice, systems=options.system)
    if options.layout is not None:
        write_layout(options.layout, image.images, reference, image.builder)
    if options.file is not None:
        write(options.file, image, reference)
    return keep(project, options, settings, image, reference, since)


def _push(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.images import pushed_record, pushed_text
    from esker.errors import ImageError, Malformed
    from esker.ship.bills import attach_bills, bills
    from esker.ship.image.registry.client import Registry
    from esker.ship.image.registry.credentials import credentials_of
    from esker.ship.image.registry.push import push
    from esker.ship.image.registry.repository import Repository

    examples = "  esker image push\n  esker image push registry.example/team/app:1.0"
    parser = _making(
        "push", "Send the image of the project to a registry: only what it does not have.", examples, voice
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="where to (default: `name` of [plugins.esker.image])")
    parser.add_argument("--without-sbom", action="store_true", help="attach no bill of materials")
    parser.add_argument("--json", action="store_true", help="print the digest, and what was sent, as JSON")
    options = parser.parse_args(arguments)
    named = _target_of(options.name, options.tag) if options.name else None
    image, own = made(options, voice, systems=options.system)
    reference = named or own
    attached: tuple[Attached, ...] = ()
    failure: ImageError | None = None
    with Registry(reference.registry, credentials_of(os.environ)) as registry:
        listed = bills(image, reference.name) if image.sbom and not options.without_sbom else ()
        pushed = push(reference, image.images, image.builder, registry, progress=voice.progress())
        try:
            attached = attach_bills(Repository(registry, reference.path, push=True), listed, image.builder.blobs)
        except (ImageError, Malformed) as error:
            failure = ImageError(
                f"{reference} has been sent, but its bill of materials cannot be attached: {error.message}",
                hint="push once more; if the registry takes no such attachments: --without-sbom, or `sbom = false` in "
                "[plugins.esker.image]",
            )
    if options.json:
        print_json(pushed_record(reference, pushed, attached))
    else:
        print(f"{reference.name}@{pushed.digest}")
        voice.say(f"✔ {reference}: {pushed_text(pushed, attached)}")
    if failure is not None:
        raise failure
    return 0


def _target_of(name: str, tag: str | None) -> Reference:
    """Return the name that an image is pushed to, with its tag; raises UsageError if two tags are given."""
    from esker.cli.making_images import LATEST
    from esker.errors import UsageError
    from esker.formats.oci import reference as references

    reference = references.parse(name)
    if not reference.tag and not reference.digest:
        return references.parse(f"{name}:{tag or LATEST}")
    if tag is not None and reference.tag:
        raise UsageError(
            f"`{name}` has a tag, and `--tag {tag}` names one too",
            hint=f"leave one of the two out, as in: esker image push {reference.name} --tag {tag}",
        )
    return reference


def _inspect(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.images import project_record, project_text, stored_record, stored_text
    from esker.ship.image.stored import RegistrySource, stored_images

    examples = "  esker image inspect\n  esker image inspect ./layout\n  esker image inspect registry.example/app:1.0"
    parser = _making(
        "inspect", "Show what an image holds. Of the project's own, show why it holds it.", examples, voice
    )
    parser.add_argument("target", nargs="?", metavar="IMAGE", help=f"{_TARGET} (default: the project's own)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    options = parser.parse_args(arguments)
    if options.target is not None:
        with _source(options.target) as source:
            images = stored_images(source)
            # What `from` of another image's table takes.
            named = f"{source.place}@{source.top()[0].digest}" if isinstance(source, RegistrySource) else None
        if options.json:
            print_json([stored_record(image) for image in images])
            return 0
        if named is not None:
            print(shown(named))
        print("\n".join(map(stored_text, images)))
        return 0
    image, reference = made(options, voice, systems=options.system)
    if options.json:
        print_json(project_record(image, reference))
    else:
        print(project_text(image, reference))
    return 0


def _diff(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.images import difference_record, difference_text
    from esker.ship.image.comparison import difference

    examples = "  esker image diff ./before ./after\n  esker image diff registry.example/app:1.0 ./layout"
    parser = Parser(
        "image diff", "Show which layers of two images differ, and which packages are why.", examples, voice=voice
    )
    parser.add_argument("before", metavar="IMAGE", help=_TARGET)
    parser.add_argument("after", metavar="IMAGE", help="the other one")
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")
    options = parser.parse_args(arguments)
    before = {str(image.config.platform): image for image in _stored(options.before)}
    after = {str(image.config.platform): image for image in _stored(options.after)}
    found = {each: difference(before[each], after[each]) for each in sorted(before.keys() & after.keys())}
    alone = {"before": sorted(before.keys() - after.keys()), "after": sorted(after.keys() - before.keys())}
    if options.json:
        print_json({"platforms": {each: difference_record(found[each]) for each in found}, "only": alone})
        return 0
    for platform, each in found.items():
        print(difference_text(platform, each))
    for side, platforms in alone.items():
        for platform in platforms:
            print(f"{platform}: only in the image {side}")
    return 0


def _verify(arguments: list[str], voice: Voice) -> int:
    from esker.errors import ImageError, UsageError
    from esker.formats.counted import counted
    from esker.ship.bills import attached_faults
    from esker.ship.image.stored import RegistrySource
    from esker.ship.image.verification import verify

    examples = "  esker image verify ./layout\n  esker image verify --sbom registry.example/app:1.0"
    parser = Parser("image verify", "Read an image, and compute all of its digests again.", examples, voice=voice)
    parser.add_argument("target", metavar="IMAGE", help=_TARGET)
    with_sbom = "check the bills of materials too that are attached to it in a registry"
    parser.add_argument("--sbom", action="store_true", help=with_sbom)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    with _source(options.target) as source:
        if options.sbom and not isinstance(source, RegistrySource):
            raise UsageError(f"`{options.target}` is in no registry, so nothing is attached to it", hint=_NAME_OF_ONE)
        result = verify(source, progress=voice.progress())
        faults = [*result.faults]
        if options.sbom and isinstance(source, RegistrySource):
            faults += [fault for image in result.images for fault in attached_faults(source.repository, image)]
    if options.json:
        manifests = [{"platform": str(i.config.platform), "digest": i.descriptor.digest} for i in result.images]
        messages = [fault.message for fault in faults]
        print_json({"images": manifests, "layers": result.blobs, "size": result.size, "faults": messages})
    if faults:
        raise ImageError(
            f"`{options.target}` is damaged: {'; '.join(fault.message for fault in faults)}",
            hint=_AGAIN_IN_REGISTRY if isinstance(source, RegistrySource) else _AGAIN_HERE,
        )
    if not options.json:
        for image in result.images:
            print(f"{image.descriptor.digest}  {image.config.platform}")
        bills = ", and the attached bills of materials agree with the image" if options.sbom else ""
        layers = counted(result.blobs, "layer")
        voice.say(f"✔ {layers}, {result.size / 1_000_000:.1f} MB: every digest is right{bills}")
    return 0


def _sbom(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.images import bill

    examples = "  esker image sbom >sbom.json\n  esker image sbom --system aarch64-linux"
    parser = _making(
        "sbom", "Print what the image holds as CycloneDX, for this machine's kind of system.", examples, voice
    )
    options = parser.parse_args(arguments)
    image, reference = made(options, voice, systems=options.system, own=not options.system)
    print(bill(image, reference), end="")
    return 0


def _stored(target: str) -> tuple[StoredImage, ...]:
    from esker.ship.image.stored import stored_images

    with _source(target) as source:
        return stored_images(source)


def _source(target: str) -> AbstractContextManager[Source]:
    from esker.ship.image_sources import image_source

    return image_source(target, os.environ)
