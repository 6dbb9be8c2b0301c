"""Where the API finds its database and its cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What differs from one place the API runs in to the next."""

    database: str = ""
    """A libpq connection string; what it leaves out, libpq takes from PGHOST, PGPORT, PGUSER, PGDATABASE and so on."""
    cache: str = "valkey://127.0.0.1:6379"
    """A URL that the Valkey client reads, such as `valkey://host:port` or `unix:///path/to/socket`."""
    cache_prefix: str = "items:"
    """Begins every key, so that one server can serve several databases."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read VALKEY_URL, and PGDATABASE for the keys; the PG* variables themselves are left to libpq."""
        return cls(
            cache=environment.get("VALKEY_URL", cls.cache),
            cache_prefix=f"items:{environment.get('PGDATABASE', '')}:",
        )
