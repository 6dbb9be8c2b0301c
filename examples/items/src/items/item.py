"""An item, and what a client may ask for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["InvalidItem", "Item", "NewItem"]

LONGEST = {"name": 200, "description": 5000}  # characters


@dataclass(frozen=True)
class Item:
    """One row of the table."""

    id: int
    name: str
    description: str
    created_at: str
    """ISO 8601, in UTC."""

    def as_json(self) -> dict[str, object]:
        """Return the item as the API shows it."""
        return asdict(self)


class InvalidItem(Exception):
    """A request does not describe an item; `errors` says what is wrong with each field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field} {error}" for field, error in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class NewItem:
    """An item that has no row yet."""

    name: str
    description: str = ""

    @classmethod
    def parse(cls, document: object) -> NewItem:
        """Read `{"item": {"name": …, "description": …}}`; report every field that is wrong at once."""
        fields = document.get("item") if isinstance(document, dict) else None
        if not isinstance(fields, dict):
            raise InvalidItem({"item": "must be an object with a name and, if you like, a description"})
        errors = dict.fromkeys(fields.keys() - LONGEST.keys(), "is not a field of an item")
        if "name" not in fields or fields["name"] == "":
            errors["name"] = "must not be empty"
        for field in LONGEST.keys() & fields.keys() - errors.keys():
            if error := _text_error(fields[field], longest=LONGEST[field]):
                errors[field] = error
        if errors:
            raise InvalidItem(dict(sorted(errors.items())))
        return cls(**fields)


def _text_error(value: object, *, longest: int) -> str | None:
    """Return why PostgreSQL could not keep `value` as text, or why we do not want it to."""
    if not isinstance(value, str):
        return "must be text"
    if len(value) > longest:
        return f"must not be longer than {longest} characters"
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "holds a character that cannot be stored"
    return None
