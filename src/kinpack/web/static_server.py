"""A small server of one site's folder, on this machine alone: for a look, without any extra."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from kinpack.web.guard import HEADERS, LOOPBACK

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


class _Handler(BaseHTTPRequestHandler):
    """Gives the files of a folder, whole or by ranges."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    folder: Path

    def do_GET(self) -> None:
        host = (urlsplit(f"//{self.headers.get('Host', '')}").hostname or "").lower()
        if host not in LOOPBACK:  # a page elsewhere that lets its own name lead here
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        # Only what lies in the folder itself: a site has no folders.
        if name not in {path.name for path in self.folder.iterdir() if path.is_file()}:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with (self.folder / name).open("rb") as file:
            size = file.seek(0, 2)
            first, stop, status = self._part(size)
            if first >= stop and size:
                self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            file.seek(first)
            data = file.read(stop - first)
        self.send_response(status)
        told = {"Content-Type": _TYPES.get(Path(name).suffix, "application/octet-stream")}
        told |= {"Content-Length": str(len(data)), "Accept-Ranges": "bytes", "ETag": f'"{size:x}"'}
        if status == HTTPStatus.PARTIAL_CONTENT:
            told["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        for key, value in {**told, **HEADERS, "Cache-Control": "no-cache"}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def _part(self, size: int) -> tuple[int, int, HTTPStatus]:
        """The first byte that is asked for, the one behind the last, and the answer's status."""
        match = _RANGE.fullmatch(self.headers.get("Range", "").strip())
        if match is None or match.groups() == (None, None):
            return 0, size, HTTPStatus.OK
        first, last = match.groups()
        if first is None:
            return max(0, size - int(last)), size, HTTPStatus.PARTIAL_CONTENT
        stop = size if last is None else min(size, int(last) + 1)
        return int(first), stop, HTTPStatus.PARTIAL_CONTENT

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""


@contextmanager
def serving_folder(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the files of a folder on this machine inside a block.

    Args:
        folder: of a site.
        port: 0 for any that is free.

    Yields:
        The address of its page.
    """
    handler = type("Handler", (_Handler,), {"folder": folder})
    with ThreadingHTTPServer((LOOPBACK[0], port), handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK[0]}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
