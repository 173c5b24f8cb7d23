"""Keeps notes: GET /, and POST / with the token. A note is a line of a file on the volume."""

from __future__ import annotations

import os
import signal
import sys
from hmac import compare_digest
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NOTES = Path(os.environ.get("VOLUME_NOTES", "/var/lib/notes")) / "notes.txt"
LONGEST = 1000


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """All notes, or a sign of life."""
        if self.path == "/healthz":
            self._send(200, "ok")
            return
        notes = NOTES.read_text(encoding="utf-8").splitlines() if NOTES.exists() else []
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        self._send(200, f"<!doctype html><h1>{escape(os.environ['GREETING'])}</h1><ul>{items}</ul>", "text/html")

    def do_POST(self) -> None:
        """One more note."""
        if not compare_digest(self.headers.get("Authorization", ""), f"Bearer {os.environ['TOKEN']}"):
            self._send(401, "who are you?")
            return
        text = self.rfile.read(min(LONGEST, int(self.headers.get("Content-Length", "0")))).decode(errors="replace")
        with NOTES.open("a", encoding="utf-8") as file:
            file.write(" ".join(text.split()) + "\n")
        self._send(201, "noted")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing for each request."""

    def _send(self, status: int, text: str, type_: str = "text/plain") -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{type_}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(
    (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))), Handler
).serve_forever()
