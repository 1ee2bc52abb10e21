"""A proxy on loopback between a client and an object store: counts requests, and does harm."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

Fault: TypeAlias = Literal[
    "500",  # answers so, without asking the store
    "503",  # SlowDown: throttling
    "500-after",  # the store has done it, the answer says it failed
    "lost",  # the store has done it, the connection breaks without an answer
    "refused",  # the connection breaks before anything is done
    "torn",  # half of what is uploaded goes to the store, then both connections break
    "empty",  # an upload is announced to the store, then both connections break
    "cut",  # half of the answer comes, then the connection breaks
    "silent",  # nothing is done, and nothing is answered
    "late",  # the store has done it, but the client has given up waiting
]
"""What can go wrong with one request."""

FAULTS: tuple[Fault, ...] = (
    "500", "503", "500-after", "lost", "refused", "torn", "empty", "cut", "silent", "late",
)  # fmt: skip

_BUSY = b"<Error><Code>%s</Code><Message>injected</Message></Error>"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request.

    Attributes:
        method: of HTTP.
        key: the object's name in the bucket, with the query of the request.
        range: the bytes that were asked for, empty for all.
        fault: what was done to it, ``None`` for nothing.
    """

    method: str
    key: str
    range: str
    fault: Fault | None


class FaultProxy:
    """Passes requests on to an object store.

    Args:
        endpoint: the object store's.
        patience: seconds that "silent" and "late" wait: longer than the client does.

    Attributes:
        seen: all requests, in the order in which they came.
        plan: tells what to do to a request, given its number from 0 on, its method and its key.
        before: called with a request's number before it is passed on; ``after`` once it was.
    """

    def __init__(self, endpoint: str, *, patience: float = 2.0) -> None:
        self.seen: list[Seen] = []
        self.plan: Callable[[int, str, str], Fault | None] = lambda *_: None
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None
        self._upstream = endpoint.removeprefix("http://")
        self._patience = patience
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                with suppress(OSError, http.client.HTTPException):
                    proxy._pass_on(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def reset(self) -> None:
        """Forget the requests, and do no more harm."""
        with self._lock:
            self.seen.clear()
        self.plan = lambda *_: None
        self.before = self.after = lambda _: None

    @contextmanager
    def running(self) -> Iterator[FaultProxy]:
        """Serve for as long as the block lasts."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()

    def _pass_on(self, client: BaseHTTPRequestHandler) -> None:
        body = client.rfile.read(int(client.headers.get("Content-Length", 0)))
        key = unquote(client.path.lstrip("/").partition("/")[2] or client.path)
        asked = client.headers.get("Range", "").removeprefix("bytes=")
        with self._lock:
            number = len(self.seen)
            self.seen.append(Seen(client.command, key, asked, None))
        fault = self.plan(number, client.command, key)
        if fault:
            self.seen[number] = Seen(client.command, key, asked, fault)
        self.before(number)
        if fault in ("500", "503"):
            _send(client, int(fault), [], _BUSY % (b"SlowDown" if fault == "503" else b"Internal"))
            return
        if fault in ("refused", "silent"):
            time.sleep(self._patience if fault == "silent" else 0)
            client.close_connection = True
            return
        if fault in ("torn", "empty"):
            self._tear(client, body[: len(body) // 2 if fault == "torn" else 0])
            return
        status, headers, data = self._ask(client, body)
        self.after(number)
        if fault in ("lost", "late"):
            time.sleep(self._patience if fault == "late" else 0)
            client.close_connection = True
        elif fault == "500-after":
            _send(client, 500, [], _BUSY % b"Internal")
        elif fault == "cut":
            _send(client, status, headers, data, part=len(data) // 2)
        else:
            _send(client, status, headers, data)

    def _ask(
        self, client: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self._upstream)
        try:
            upstream.putrequest(
                client.command, client.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in client.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def _tear(self, client: BaseHTTPRequestHandler, part: bytes) -> None:
        """Announce the whole, send a part, and hang up."""
        upstream = http.client.HTTPConnection(self._upstream)
        upstream.putrequest(client.command, client.path, skip_host=True, skip_accept_encoding=True)
        for name, value in client.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders()
        upstream.send(part)
        upstream.close()
        client.close_connection = True


def _send(
    client: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    data: bytes,
    *,
    part: int | None = None,
) -> None:
    client.send_response_only(status)
    for name, value in headers:
        if name.lower() not in ("transfer-encoding", "content-length", "connection"):
            client.send_header(name, value)
    length = next((value for name, value in headers if name.lower() == "content-length"), None)
    if client.command != "HEAD" or length is None:
        length = str(len(data))
    client.send_header("Content-Length", length)
    client.end_headers()
    if client.command != "HEAD":
        client.wfile.write(data if part is None else data[:part])
    if part is not None:
        client.wfile.flush()
        client.close_connection = True
