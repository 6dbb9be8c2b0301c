"""Adding well-known services to an environment: its manifest is edited, locked and installed as by any other change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.declare.presets.addition import services_of, variables_of, with_preset
from esker.runtimes.native.change import Texts, change, manifest_path
from esker.runtimes.native.packages import locked_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.declare.presets.catalogue import Preset, Source
    from esker.progress import Progress
    from esker.runtimes.native.change import Change, Effect
    from esker.settings import Settings

__all__ = ["Added", "add_services"]


class Added(NamedTuple):
    """What was added to an environment."""

    change: Change
    services: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    """The title of each preset, the names of its services, and the variables that programs get."""
    notes: Sequence[str] = ()
    """What else had to change in the manifest."""
    files: Sequence[str] = ()
    """The paths of the other files that were written."""


def add_services(
    project: str,
    manifest: str,
    chosen: Sequence[tuple[Preset, Source]],
    settings: Settings,
    *,
    effect: Effect,
    progress: Progress,
) -> Added:
    """Add presets, each from a source, to an environment whose manifest has the text `manifest`.

    If one of them cannot be added none is. Raises AlreadyExists for what the manifest has already, and else as `change`
    does.
    """
    text, locked, path = manifest, locked_outputs(project), manifest_path(project)
    notes: list[str] = []
    services = []
    for preset, source in chosen:
        edit = with_preset(text, preset, source, locked, path)
        fragment = preset.fragment(source)
        text = edit.text
        notes += edit.notes
        services.append((preset.title, services_of(fragment), variables_of(fragment)))
    made = change(project, Texts(text), settings, before=manifest, effect=effect, progress=progress)
    return Added(made, services, notes)
