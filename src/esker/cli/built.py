"""What `image build` has made: kept for the next call, which has the same to say if nothing has changed.

Every `image build` imports this, so what only a build that makes something needs is imported there.
"""

from __future__ import annotations

import os

from esker.ship import kept_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from typing import Any

    from esker.formats.oci.reference import Reference
    from esker.settings import Settings
    from esker.ship.project_image import ProjectImage

    Built = dict[str, Any]
    """`record`, which `--json` prints; `left_out`, paths that are not in the image; `remarks`."""

__all__ = ["Built", "keep", "unchanged"]


def unchanged(project: str, options: Namespace, settings: Settings) -> Built | None:
    """Return what was made, if a call with these options would make the same; None if it has an archive to write."""
    if options.file is not None or options.upgrade:
        return None
    return kept_image.kept(project, _asked(options), settings)


def keep(
    project: str, options: Namespace, settings: Settings, image: ProjectImage, reference: Reference, since: int
) -> Built:
    """Return what was made, and keep it if it depends on nothing but files that the next call can look at."""
    from esker.cli.making_images import left_out, remarks_on
    from esker.cli.views.images import built_record

    built: Built = {"record": built_record(image, reference)}
    built |= {"left_out": left_out(image), "remarks": remarks_on(image)}
    inputs = None if options.file is not None else _inputs(image, settings)
    if inputs is not None:
        outputs = [image.lock_path, *_layout(options, image)]
        kept_image.keep(project, _asked(options), settings, since=since, inputs=inputs, outputs=outputs, result=built)
    return built


def _inputs(image: ProjectImage, settings: Settings) -> list[str] | None:
    """Return the files that decide about an image; None if nobody can list them, or a warning has to come each time."""
    from esker.lock.lock_files import lock_paths
    from esker.lock.own_project import own_project
    from esker.runtimes.native.preparation import sources_of
    from esker.ship.content.watched_files import watched_files

    declaration, lock = image.declaration, image.lock
    if declaration.manifest.minimum_cli_version is not None or declaration.esker.runtime != "native":
        return None
    if lock.python is not None and any(each.directory is not None for each in lock.python.packages):
        return None
    files = [fingerprint[0] for fingerprint in sources_of(declaration.project)[0]]
    files += [*lock_paths(declaration).values(), *(each.compiler for each in image.contents if each.compiler)]
    table = declaration.esker.image
    paths = [path for each in table.files.values() for path in each] if table else []
    paths += [each.npm_lock for each in table.prepare.values() if each.npm_lock] if table else []
    if lock.python is not None and own_project(declaration) is not None:
        paths = ["."]
    if paths:
        files += watched_files(declaration.project, paths, settings.tools)
    return files


def _asked(options: Namespace) -> list[str]:
    """Return what decides about the image and where it goes, beside the project."""
    layout = os.path.realpath(options.layout) if options.layout is not None else ""
    words = [options.tag or "", options.mode or "", str(options.without_packages), str(options.locked), layout]
    return [*words, "systems", *sorted(options.system or ()), "labels", *options.label]


def _layout(options: Namespace, image: ProjectImage) -> Iterator[str]:
    """Yield the files of the layout that the image was written to."""
    if options.layout is None:
        return
    from esker.ship.image.layout import layout_files

    directory = os.path.realpath(options.layout)
    yield from layout_files(directory, image.images)
