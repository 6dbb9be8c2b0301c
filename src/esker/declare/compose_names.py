"""The names of the files that Compose takes where nobody names any."""

from __future__ import annotations

__all__ = ["BASES", "OVERRIDES"]

BASES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""The first of them that is there is the project's Compose file."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""The first of them that is there is merged over it."""
