"""Adding well-known services to an environment: its manifest is edited, locked and installed as by any other change."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from esker.declare.load import manifest_path
from esker.declare.presets.addition import services_of, variables_of, with_preset
from esker.declare.presets.containers import check_tables
from esker.declare.validate import read_text
from esker.runtimes.native.change import Texts, change
from esker.runtimes.native.containers import ComposeFile, missing_secrets, written_secrets
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

    If one of them cannot be added none is. Of a container that was added in another checkout only the missing password
    is made. Raises AlreadyExists for what the manifest or the Compose file has already, and else as `change` does.
    """
    locked, path = locked_outputs(project), manifest_path(project)
    containers = [preset for preset, source in chosen if source == "container"]
    text, compose = manifest, ComposeFile.of(project, manifest) if containers else None
    notes: list[str] = []
    services = []
    for preset, source in chosen:
        if source == "container" and compose is not None:
            if _lacks_secrets_alone(project, text, preset):
                continue
            check_tables(text)
            compose = compose.with_preset(preset)
        edit = with_preset(text, preset, source, locked, path)
        fragment = preset.fragment(source)
        text = edit.text
        notes += edit.notes
        services.append((preset.title, services_of(fragment), variables_of(fragment)))
    written: list[str] = []
    with ExitStack() as stack:
        if compose is not None:
            written += stack.enter_context(written_secrets(project, containers))
            if compose.text != compose.before:
                stack.enter_context(compose.replaced())
                written.append(f"{project}/{compose.path}")
        made = change(project, Texts(text), settings, before=manifest, effect=effect, progress=progress)
    return Added(made, services, notes, written)


def _lacks_secrets_alone(project: str, manifest: str, preset: Preset) -> bool:
    """Return whether a container was added in another checkout, and only its password is missing in this one."""
    compose = read_text(manifest, manifest_path(project))[1].compose
    return compose is not None and preset.name in compose.tables and bool(missing_secrets(project, preset))
