"""A Hugging Face Hub of one machine: the few answers that huggingface_hub asks for, for tests of downloads."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """``files`` are the content of the one model ``owner/thing``; ``fault`` is how it refuses; ``cut`` ends a file early once."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.card: dict[str, object] = {"license": "apache-2.0"}
        self.fault = ""
        self.cut: int | None = None
        self.asked: list[tuple[str, str, str]] = []  # method, path, range
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        self.asked.append((request.command, request.path, request.headers.get("Range", "")))
        path = request.path.partition("?")[0]
        file = re.fullmatch(r"/owner/thing/resolve/[^/]+/(.+)", path)
        if self.fault == "gated" and not file:
            self._info(request, body)
        elif self.fault:
            code, status = {"gated": ("GatedRepo", 403), "down": ("", 503), "stranger": ("", 401)}[self.fault]
            self._send(request, status, b"", {"X-Error-Code": code} if code else {}, body)
        elif path.startswith("/api/models/owner/thing/revision/no-such"):
            self._send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        elif path.startswith("/api/models/owner/thing"):
            self._info(request, body)
        elif file and file[1] in self.files:
            self._file(request, file[1], body)
        else:
            self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound" if file else "RepoNotFound"}, body)

    def _info(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        facts = {"id": "owner/thing", "sha": COMMIT, "siblings": siblings, "cardData": self.card, "tags": [], "private": False}
        self._send(request, 200, json.dumps(facts).encode(), {"Content-Type": "application/json"}, body)

    def _file(self, request: BaseHTTPRequestHandler, name: str, body: bool) -> None:
        data, status = self.files[name], 200
        facts = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if span := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
            start, status = int(span[1]), 206
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data = data[start:]
        self._send(request, status, data, facts, body)

    def _send(self, request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if body and self.cut is not None and len(data) > self.cut:
            request.wfile.write(data[: self.cut])
            request.wfile.flush()
            self.cut = None
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
        elif body:
            request.wfile.write(data)
