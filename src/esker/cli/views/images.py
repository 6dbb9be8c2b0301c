"""Images as people and programs see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.cli.views.built_image import size
from esker.cli.views.output import shown
from esker.formats.counted import counted
from esker.ship.image import comparison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.formats.oci.reference import Reference
    from esker.ship.bills import Attached
    from esker.ship.content.contents import Contents
    from esker.ship.image.comparison import Difference, LayerContent
    from esker.ship.image.image import Image
    from esker.ship.image.registry.push import Pushed
    from esker.ship.image.stored import StoredImage
    from esker.ship.project_image import ProjectImage

__all__ = [
    "bill",
    "built_record",
    "difference_record",
    "difference_text",
    "project_record",
    "project_text",
    "pushed_record",
    "pushed_text",
    "stored_record",
    "stored_text",
]


def built_record(image: ProjectImage, reference: Reference) -> dict[str, Any]:
    """Return what was made, for JSON."""
    return {"name": str(reference), "images": [_image_record(each) for each in image.images]}


def _image_record(image: Image) -> dict[str, Any]:
    return {
        "platform": str(image.platform),
        "digest": image.descriptor.digest,
        "layers": [
            {
                "name": layer.name,
                "digest": layer.descriptor.digest,
                "size": layer.descriptor.size,
                "diff_id": layer.diff_id,
                "is_of_base": layer.planned is None,
                "units": [
                    {"name": unit.name, "version": unit.version, "size": unit.size} for unit in layer.planned.units
                ]
                if layer.planned
                else [],
            }
            for layer in image.layers
        ],
    }


def project_text(image: ProjectImage, reference: Reference) -> str:
    """Return what the project's image holds and why: layers with their packages, variables, and how it starts."""
    lines = [str(reference)]
    for contents, each in zip(image.contents, image.images, strict=True):
        lines.append(f"  {each.platform}  {each.descriptor.digest}")
        for layer in each.layers:
            lines.append(f"    {size(layer.descriptor.size)}  {layer.name}")
            lines += [f"               {unit.name} {unit.version}".rstrip() for unit in _units(layer)]
        lines += [f"    {line}" for line in _why(contents)]
    return shown("\n".join(lines))


def _units(layer: Any) -> Iterator[Any]:
    units = layer.planned.units if layer.planned else ()
    yield from (unit for unit in units if unit.name != layer.name)


def _why(contents: Contents) -> Iterator[str]:
    for thing, origin in contents.reasons:
        yield f"{thing}: {origin}"
    started = "starts the services" if contents.runs_services else "starts with its command alone"
    if contents.entry.why:
        script = f"bash and a script, for {', '.join(contents.entry.why)}"
        yield f"{started}, after {script}" if contents.runs_services else f"starts with {script}"
    else:
        yield started
    for variable in contents.variables.fixed:
        yield f"{variable.name}={variable.value}  ({variable.why})"
    for variable in contents.variables.scripted:
        yield f"{variable.name} is set at the start  ({variable.why})"
    for variable in contents.variables.of_services:
        yield f"{variable.name}={variable.value} for the services  ({variable.why})"
    for variable in contents.variables.left_out:
        yield f"{variable.name} is not in the image  ({variable.why})"
    for path in contents.left_out:
        yield f"{path} is not in the image  (git does not track it)"


def project_record(image: ProjectImage, reference: Reference) -> dict[str, Any]:
    """Return what the project's image holds and why, for JSON."""
    images = []
    for contents, each in zip(image.contents, image.images, strict=True):
        record = _image_record(each)
        record["reasons"] = dict(contents.reasons)
        record["entry"] = {"entrypoint": contents.entry.entrypoint, "why": contents.entry.why}
        for name in ("fixed", "scripted", "of_services", "left_out"):
            record.setdefault("variables", {})[name] = [v._asdict() for v in getattr(contents.variables, name)]
        record["left_out"] = contents.left_out
        images.append(record)
    return {"name": str(reference), "images": images}


def stored_text(image: StoredImage) -> str:
    """Return what an image says of itself."""
    lines = [f"{image.config.platform}  {image.descriptor.digest}"]
    if base := comparison.base_of(image):
        lines.append(f"  base: {base}")
    for layer in comparison.contents(image):
        lines.append(f"  {size(layer.size)}  {layer.name}")
        lines += [
            f"             {unit.name} {unit.version}".rstrip() for unit in layer.units if unit.name != layer.name
        ]
    for name, value in image.config.env.items():
        lines.append(f"  {name}={value}")
    return shown("\n".join(lines))


def stored_record(image: StoredImage) -> dict[str, Any]:
    """Return what an image says of itself, for JSON."""
    layers = [_layer_record(layer) for layer in comparison.contents(image)]
    platform = str(image.config.platform)
    return {
        "platform": platform,
        "digest": image.descriptor.digest,
        "config": dict(image.config.settings),
        "base": comparison.base_of(image) or None,
        "layers": layers,
    }


def _layer_record(layer: LayerContent) -> dict[str, Any]:
    return {**layer._asdict(), "units": [unit._asdict() for unit in layer.units]}


def pushed_record(reference: Reference, pushed: Pushed, attached: Sequence[Attached]) -> dict[str, Any]:
    """Return what a push has sent, for JSON."""
    sent = {"uploaded": pushed.uploaded, "mounted": pushed.mounted}
    blobs = {name: [{"digest": each.digest, "size": each.size} for each in which] for name, which in sent.items()}
    bills = [{"platform": each.platform, "digest": each.digest, "new": each.is_new} for each in attached]
    return {"name": str(reference), "digest": pushed.digest, "changed": pushed.changed, **blobs, "sbom": bills}


def pushed_text(pushed: Pushed, attached: Sequence[Attached]) -> str:
    """Return what a push has sent, for people."""
    sent = sum(each.size for each in pushed.uploaded) / 1_000_000
    blobs = counted(len(pushed.uploaded), "blob")
    done = f"{blobs} ({sent:.1f} MB) sent" if pushed.changed else "the registry has it already"
    new = sum(each.is_new for each in attached)
    return f"{done}, {counted(new, 'bill of materials', 'bills of materials')} attached" if new else done


def difference_text(platform: str, found: Difference) -> str:
    """Return how two images for one platform differ."""
    differing, same = len(found.layers), len(found.same)
    differ = counted(differing, "layer differs", "layers differ") if differing else "no layers differ"
    lines = [f"{platform}: {differ}, {counted(same, 'is', 'are')} the same"]
    for layer in found.layers:
        units = [*map(str, layer.units)]
        if layer.reason != "; ".join(units):
            lines.append(f"  {layer.name}: {layer.reason}")
        elif len(units) == 1:
            lines.append(f"  {layer.name}: {units.pop()}")
        else:
            lines.append(f"  {layer.name}:")
        lines += [f"    {unit}" for unit in units]
    for setting in found.settings:
        lines.append(f"  {setting.name}: {_or_none(setting.before)} -> {_or_none(setting.after)}")
    if found.layers:
        lines.append(f"  {size(found.size).strip()} to fetch, if the first image is there")
    return shown("\n".join(lines))


def _or_none(text: str | None) -> str:
    return "none" if text is None else text


def difference_record(found: Difference) -> dict[str, Any]:
    """Return how two images differ, for JSON."""
    layers = [
        {
            "name": layer.name,
            "reason": layer.reason,
            "before": layer.before and layer.before.digest,
            "after": layer.after and layer.after.digest,
            "units": [unit._asdict() for unit in layer.units],
        }
        for layer in found.layers
    ]
    settings = [setting._asdict() for setting in found.settings]
    return {"layers": layers, "settings": settings, "same": [layer.name for layer in found.same], "size": found.size}


def bill(image: ProjectImage, reference: Reference) -> str:
    """Return the bill of materials of the first of the images."""
    from esker.ship.bills import bills

    return bills(image, reference.name)[0].data.decode()
