"""Where the API finds its database and its cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings that differ between the places where the API runs."""

    database: str = ""
    """A libpq connection string; libpq takes missing parts from PGHOST, PGPORT, PGUSER, PGDATABASE and so on."""
    cache: str = "valkey://127.0.0.1:6379"
    """A URL that the Valkey client reads, such as `valkey://host:port` or `unix:///path/to/socket`."""
    cache_prefix: str = "items:"
    """The beginning of every key, so that one Valkey can serve several databases."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Take the cache from VALKEY_URL and its prefix from PGDATABASE; libpq itself reads the PG* variables."""
        return cls(
            cache=environment.get("VALKEY_URL", cls.cache),
            cache_prefix=f"items:{environment.get('PGDATABASE', '')}:",
        )
