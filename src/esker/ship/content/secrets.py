"""Refuses texts in the form of a secret, which no image may hold: everybody who can pull it can read it."""

from __future__ import annotations

from esker.errors import ImageError
from esker.formats.secrets import kind_of_secret

__all__ = ["refuse_forms"]


def refuse_forms(what: str, text: str) -> None:
    """Raise ImageError if a text of an image, which is called `what`, holds something in the form of a secret."""
    if kind := kind_of_secret(text):
        raise ImageError(
            f"{what} holds {kind}, which everybody could read in the image",
            hint="take it out; what needs it can read it from a file or a variable that the container is given",
        )
