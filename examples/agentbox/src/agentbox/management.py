"""The management API: `python -m agentbox.management`, on MANAGEMENT_HOST and MANAGEMENT_PORT.

GET /livez    200 as long as it answers
GET /ready    200 once `agentbox.setup` has found everything, 503 before
GET /health   what was found, with its versions
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agentbox.setup import record

__all__ = ["answer"]


def answer(path: str) -> tuple[int, dict[str, object]]:
    """Return the status and the JSON for a request."""
    try:
        found = json.loads(record().read_text())
    except FileNotFoundError:
        found = None
    match path:
        case "/livez":
            return 200, {"status": "ok"}
        case "/ready":
            return (200, {"status": "ready"}) if found else (503, {"status": "starting"})
        case "/health":
            return (200 if found else 503), {"status": "ok" if found else "starting", "found": found}
    return 404, {"error": "there are /livez, /ready and /health"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, values = answer(self.path)
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until somebody ends this process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host, port = os.environ.get("MANAGEMENT_HOST", "127.0.0.1"), int(os.environ.get("MANAGEMENT_PORT", "9090"))
    ThreadingHTTPServer((host, port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
