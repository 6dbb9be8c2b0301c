"""What the commands that make images share: their options, and the image that the options ask for."""

from __future__ import annotations

import argparse
import os

from esker.cli.arguments import add_directory, add_python_downloads
from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from esker.cli.arguments import Parser
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.formats.oci.reference import Reference
    from esker.settings import Settings
    from esker.ship.project_image import ProjectImage

__all__ = [
    "LATEST",
    "add_options",
    "left_out",
    "made",
    "remarks_on",
    "settings_of",
    "tell_left_out",
    "tell_remarks",
]

LATEST = "latest"
"""The tag of an image for which nobody names one."""
_MOST_PATHS = 5
_TABLE = "In `vars` of [plugins.esker.image]"


class _Tag(argparse.Action):
    """The one tag of an image: of two, the last would win in silence, and an empty one would be `latest`."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: Namespace, values: Any, _option: str | None = None
    ) -> None:
        """Keep the tag; raises UsageError for a second or an empty one."""
        if not values:
            raise UsageError("`--tag` names no tag", hint=f"name one, or leave it out for `{LATEST}`")
        if getattr(namespace, self.dest) is not None:
            raise UsageError(
                f"`--tag {getattr(namespace, self.dest)}` and `--tag {values}`: an image is given one tag at a time",
                hint="call it once for each tag; what has not changed is neither made nor sent again",
            )
        setattr(namespace, self.dest, values)


def add_options(parser: Parser) -> None:
    """Add the options that say which image is made of which project."""
    add_directory(parser)
    parser.add_argument("--tag", metavar="TAG", action=_Tag, help="the image's tag (default: latest)")
    parser.add_argument(
        "--label", metavar="KEY=VALUE", action="append", default=[], help="add a label; may be given several times"
    )
    modes = "with the variables for compilers (dev) or without (run); default: as `options.activate.mode`, else dev"
    parser.add_argument("-m", "--mode", choices=("dev", "run"), help=modes)
    group = parser.add_mutually_exclusive_group()
    only = "fail if .flox/image.lock does not pin everything that comes from an address"
    group.add_argument("--locked", action="store_true", help=only)
    anew = "look up anew what comes from addresses: git revisions, npm packages, files, Python"
    group.add_argument("--upgrade", action="store_true", help=anew)
    parser.add_argument("--without-packages", action="store_true", help="leave out the packages of [install]")
    add_python_downloads(parser)


def settings_of(options: Namespace) -> Settings:
    """Return the settings for an image."""
    from esker.settings import Settings

    return Settings(
        os.environ,
        without_packages=options.without_packages,
        python_downloads=not options.no_python_downloads,
    )


def made(
    options: Namespace,
    voice: Voice,
    *,
    systems: list[str] | None = None,
    own: bool = False,
) -> tuple[ProjectImage, Reference]:
    """Make the image that the options ask for, and return it with its name.

    It is for the `systems`, or with `own` for the machine's own kind alone, or else for all that the project names.
    """
    from esker.cli.image_toolchain import declared_for_image, locked, nix_environment
    from esker.formats.oci import source_date
    from esker.runtimes.native.planning import declared_mode
    from esker.ship.project_image import Wishes, chosen_systems, image_reference, project_image

    settings = settings_of(options)
    declaration = declared_for_image(options, settings, voice)
    mode = options.mode or declared_mode(declaration)
    reference = image_reference(declaration, options.tag or LATEST)
    labels = _labels(options.label)
    created = source_date.seconds(os.environ.get(source_date.NAME))
    with locked(declaration, settings) as lock:
        nix = nix_environment(declaration, settings, mode, voice)
        own = own or (not systems and declaration.state is not None)  # without `.flox`, nobody has named others
        asked = [f"{settings.system.partition('-')[0]}-linux"] if own else systems or []
        wishes = Wishes(
            systems=chosen_systems(asked, declaration, lock, settings.system),
            mode=mode,
            labels=labels,
            created=created,
            services=_services(declaration),
            locked=options.locked,
            upgrade=options.upgrade,
            nix=nix,
        )
        image = project_image(declaration, lock, settings, wishes, voice.progress())
    tell_left_out(left_out(image), voice)
    tell_remarks(remarks_on(image), voice)
    return image, reference


def left_out(image: ProjectImage) -> list[str]:
    """Return the paths below the declared ones that are in no image, because git neither tracks nor ignores them."""
    return sorted({path for each in image.contents for path in each.left_out})


def remarks_on(image: ProjectImage) -> list[str]:
    """Return what a person should know of an image who does not ask, a sentence each.

    The image's table takes out what nothing sets; a variable of a base is not in the image; a program is missing.
    """
    from esker.formats.tables.shapes import near  # loads msgspec, which an unchanged `image build` does without

    names = sorted({name for each in image.contents for name in each.variables.unset})
    hints = [near(name, image.declaration.manifest.vars) for name in names]
    pairs = zip(names, hints, strict=True)
    told = [f"`{name} = false` takes out what nothing sets{f'; {hint}' if hint else ''}" for name, hint in pairs]
    dropped = sorted({variable for each in image.contents for variable in each.variables.dropped})
    said = [f"{_TABLE}, {each}" for each in told]
    said += [
        f'`{name}` is not in the image: {why}. {_TABLE}, `{name} = "${name}"` keeps it, and `{name} = false` ends this '
        "remark"
        for name, _, why in dropped
    ]
    return said + sorted({remark for each in image.contents for remark in each.remarks})


def tell_remarks(remarks: Sequence[str], voice: Voice) -> None:
    """Say what a person should know of an image."""
    for remark in remarks:
        voice.say(f"! {remark}")


def tell_left_out(paths: list[str], voice: Voice) -> None:
    """Say which paths are not in the image."""
    if paths:
        listed = ", ".join(f"`{path}`" for path in paths[:_MOST_PATHS])
        count = len(paths) - _MOST_PATHS
        more = f" and {count} more (all: {voice.program} image inspect)" if count > 0 else ""
        voice.say(f"! Not in the image, because git does not track it: {listed}{more}")


def _services(declaration: Declaration) -> Callable[[str, Mapping[str, int]], Sequence[Mapping[str, object]]]:
    """Return what gives the services of a system as the supervisor reads them."""

    def specified(system: str, ports: Mapping[str, int]) -> Sequence[Mapping[str, object]]:
        from dataclasses import asdict, replace

        from esker.services.specification import specify

        specs = specify(declaration, system, ports).values()
        # The digest of `[vars]` is for edits here, and would tell of variables that the image does not have.
        return [asdict(replace(spec, environment="")) for spec in specs]

    return specified


def _labels(pairs: list[str]) -> dict[str, str]:
    from esker.ship.content.container_config import label_name
    from esker.ship.content.secrets import refuse_forms

    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or "\0" in pair:
            raise UsageError(f"`{pair}` is not a label", hint="write it as --label NAME=VALUE")
        refuse_forms(f"the label `{name}`", value)
        labels[label_name(name)] = value
    return labels
