"""What `image build` prints: of what was made now, or of what was kept. Every build imports this: it stays light."""

from __future__ import annotations

from esker.cli.views.output import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["built_text", "size"]

_MEGABYTE = 1_000_000


def built_text(record: Mapping[str, Any]) -> str:
    """Return what was made, of `built_record`: for each platform its digest, and its layers with their sizes."""
    lines = [record["name"]]
    for image in record["images"]:
        lines.append(f"  {image['platform']}  {image['digest']}")
        lines += [f"    {size(layer['size'])}  {layer['name']}" for layer in image["layers"]]
    return shown("\n".join(lines))


def size(count: int) -> str:
    """Return a number of bytes as people read it, in a column."""
    return f"{count / _MEGABYTE:8.1f} MB"
