"""A web server for tests that gives parts of files, counts requests and misbehaves on demand."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RangeServer:
    """Files by name, served on loopback.

    Attributes:
        files: name -> content.
        requests: the ranges that were asked for, in order.
        failures: answers to give before the true ones: a status, or "drop" to hang up.
        ranges: whether parts of files are given.
        tags: whether answers carry an ETag.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.failures: list[Any] = []
        self.ranges = True
        self.tags = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                server.answer(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range", "")
        self.requests.append(asked)
        if self.failures:
            failure = self.failures.pop(0)
            if failure == "drop":
                request.close_connection = True
                return
            self._send(request, failure, b"busy", {})
            return
        name = request.path.lstrip("/")
        if name.startswith("moved/"):
            self._send(request, 302, b"", {"Location": "/" + name.removeprefix("moved/")})
            return
        if name not in self.files:
            self._send(request, 404, b"no such file", {})
            return
        data = self.files[name]
        headers: dict[str, str] = {"ETag": f'"{hash(data)}"'} if self.tags else {}
        if (kind := mimetypes.guess_type(name)[0]) is not None:
            headers["Content-Type"] = kind
        if not (self.ranges and asked.startswith("bytes=")):
            self._send(request, 200, data, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(len(data), int(last) + 1 if first and last else len(data))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(request, 206, data[start:stop], headers)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str]
    ) -> None:
        request.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(data)

    @contextmanager
    def running(self) -> Iterator[RangeServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()
