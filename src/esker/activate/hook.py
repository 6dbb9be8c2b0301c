"""Stub."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(environ: "Mapping[str, str]", *, values: "Sequence[tuple[str, str]]" = (), script: str = "") -> dict[str, str]:
    """Return environ."""
    raise NotImplementedError
