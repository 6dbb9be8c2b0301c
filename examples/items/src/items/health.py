"""Say whether the API on API_PORT of this machine is healthy, by the exit status: `python -m items.health`."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Print what `/health` answers, and return 0 if all is well."""
    url = f"http://127.0.0.1:{os.environ.get('API_PORT', '8000')}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.read().decode())
        return 1
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
