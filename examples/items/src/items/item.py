"""An item, and the check of a request to add one."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["InvalidItem", "Item", "NewItem"]

LONGEST = {"name": 200, "description": 5000}  # characters


@dataclass(frozen=True)
class Item:
    """One row of the table `items`."""

    id: int
    name: str
    description: str
    created_at: str
    """The time of the insertion: ISO 8601, in UTC."""

    def as_json(self) -> dict[str, object]:
        """Return the item as the API shows it."""
        return asdict(self)


class InvalidItem(Exception):
    """A request does not describe an item; `errors` maps each wrong field to what is wrong with it."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field} {error}" for field, error in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class NewItem:
    """An item that is not in the database yet."""

    name: str
    description: str = ""

    @classmethod
    def parse(cls, document: object) -> NewItem:
        """Read `{"item": {"name": …, "description": …}}`; raises one InvalidItem for all wrong fields."""
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
    """Return why `value` is not a text that we store, or None if it is one."""
    if not isinstance(value, str):
        return "must be text"
    if len(value) > longest:
        return f"must not be longer than {longest} characters"
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "holds a character that cannot be stored"
    return None
