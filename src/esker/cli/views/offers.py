"""Packages that channels offer, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.declare.conda_edit import CONDA
from esker.declare.edit import ORIGIN
from esker.formats.abridged import abridged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.lock.conda.offers import Offer

__all__ = ["found_lines", "found_records", "offer_lines", "offer_record", "size_text"]

_SMALL = 100_000
"""Fewer bytes than this are told in kB."""


def found_lines(offers: Sequence[Offer], wheel: str | None, word: str) -> Iterator[str]:
    """Yield a line for each package that was found: its name for `install`, newest version, licence and systems.

    `wheel` is the known wheel that carries the tool `word`.
    """
    rows = [
        (f"{CONDA}{each.name}", each.versions[0].version, each.license or "-", ", ".join(each.systems))
        for each in offers
    ]
    rows += [(f"{ORIGIN}{wheel}", "-", "-", f"a wheel that carries `{word}`")] if wheel else []
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])


def found_records(offers: Sequence[Offer], wheel: str | None) -> list[dict[str, Any]]:
    """Return the packages that were found as `--json` shows them."""
    found: list[dict[str, Any]] = [
        {
            "name": each.name,
            "version": each.versions[0].version,
            "origin": "conda",
            "source": f"{CONDA}{each.name}",
            "license": each.license,
            "systems": list(each.systems),
        }
        for each in offers
    ]
    if wheel:
        unknown = {"version": None, "license": None, "systems": None}
        found.append({"name": wheel, "origin": "pypi", "source": f"{ORIGIN}{wheel}", **unknown})
    return found


def offer_lines(offer: Offer, locked: str | None, most: int | None) -> Iterator[str]:
    """Yield the lines that describe a package; `locked` is the version in the lock, `most` limits the older ones."""
    newest, *others = offer.versions
    yield f"{CONDA}{offer.name}"
    told = {
        "Latest": newest.version,
        "Locked": locked,
        "Channel": offer.channel,
        "License": offer.license,
        "Size": size_text(offer.size) if offer.size is not None else None,
        "Systems": ", ".join(offer.systems),
        "Needs": ", ".join(offer.depends) or "nothing",
    }
    if newest.systems != offer.systems:
        told["Latest"] = f"{newest.version} ({', '.join(newest.systems)} only)"
    for label, text in told.items():
        if text:
            yield f"{label + ':':<9}{text}"
    if not others:
        return
    yield from ("", "Other versions:")
    first, hidden = (others, 0) if most is None else abridged(others, most)
    for each in first:
        only = "" if each.systems == offer.systems else f" ({', '.join(each.systems)} only)"
        yield f"    {each.version}{only}"
    if hidden:
        yield f"    … and {hidden} more: see --all"


def offer_record(offer: Offer, locked: str | None) -> dict[str, Any]:
    """Return the description of a package as `--json` shows it."""
    return {
        "name": offer.name,
        "origin": "conda",
        "source": f"{CONDA}{offer.name}",
        "channel": offer.channel,
        "version": offer.versions[0].version,
        "locked": locked,
        "license": offer.license,
        "size": offer.size,
        "systems": list(offer.systems),
        "needs": list(offer.depends),
        "versions": [{"version": each.version, "systems": list(each.systems)} for each in offer.versions],
    }


def size_text(size: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_text(12_345), size_text(2_500_000)
    ('12.3 kB', '2.5 MB')
    """
    return f"{size / 1e6:.1f} MB" if size >= _SMALL else f"{size / 1e3:.1f} kB"
