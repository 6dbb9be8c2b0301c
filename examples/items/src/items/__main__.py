"""Serve the API: `python -m items`, on API_HOST and API_PORT."""

from __future__ import annotations

import os

import uvicorn

from items.api import api
from items.settings import Settings


def main() -> None:
    """Serve the API until a signal ends this process."""
    host, port = os.environ.get("API_HOST", "127.0.0.1"), int(os.environ.get("API_PORT", "8000"))
    uvicorn.run(api(Settings.from_environment(os.environ)), host=host, port=port)


if __name__ == "__main__":
    main()
