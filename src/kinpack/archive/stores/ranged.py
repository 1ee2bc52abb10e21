"""Files read by ranges: one on a disk, or one that a web server gives."""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from kinpack.archive.stores.handles import leads_to, open_file, read_at
from kinpack.archive.stores.system_errors import closed, refusal, truncated
from kinpack.errors import ArchiveError, see_memory, shown
from kinpack.mapped_memory import map_file

TAIL_BYTES = 1 << 16
"""Bytes of the end of a file that are read when it is opened over HTTP, and kept."""

_TIMEOUT = 30.0
_ATTEMPTS = 4
PAUSE = 0.2
"""Seconds before the first request that is tried again; then twice as long each time."""
_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 500, 502, 503, 504})
_SLOWEST = 1 << 14  # bytes a second that a server has to give in the end
_NUMBER = "([0-9]{1,19})"  # of bytes; Python refuses to read thousands of digits
_RANGE = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/(?:{_NUMBER}|\*)")
_UNSATISFIED = re.compile(rf"bytes \*/{_NUMBER}")
_NO_HOST = re.compile(r"[\x00-\x20\x7f]")


class RangedFile(Protocol):
    """A file that does not change, read at any place from any thread."""

    @property
    def where(self) -> str:
        """What messages call the file."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on.

        Raises:
            ArchiveError: they are not there, or cannot be read.
        """

    def is_moved(self) -> bool:
        """Whether another file has its name by now."""

    def close(self) -> None:
        """Release what is kept open."""


class LocalFile:
    """A file on a disk.

    Args:
        path: the file.

    Attributes:
        where: what messages call it.
        size: its bytes.

    Raises:
        ArchiveError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            self._path = path.absolute()
            self._descriptor = open_file(path)
            self.size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise refusal(error, path, "open") from error
        self._closed = False

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on.

        Raises:
            ArchiveError: the file is closed, shorter, or cannot be read.
        """
        if self._closed:
            raise closed(self.where)
        try:
            data = read_at(self._descriptor, offset, length) if length else b""
        except OSError as error:
            raise refusal(error, self.where, "read") from error
        if len(data) != length:
            raise truncated(self.where, offset, offset + length)
        return data

    def mapped(self, offset: int, length: int) -> memoryview | None:
        """The same bytes, mapped into memory, if that can be."""
        return None if self._closed or not length else map_file(self._descriptor, offset, length)

    def is_moved(self) -> bool:
        """Whether another file has its name by now, or none."""
        return not self._closed and not leads_to(self._path, self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)


class HttpFile:
    """A file that a web server gives by ranges; each ``read`` is one request.

    Its end is read when it is opened, and kept. Connections are kept open and shared by threads;
    a request that fails since the server is busy is tried again a few times. A name and a password
    in the address are sent to its host alone, and never shown.

    Args:
        url: the address, ``http://…`` or ``https://…``.

    Attributes:
        where: the address, without name and password.
        size: the file's bytes.

    Raises:
        ArchiveError: there is no such file, or the server gives no ranges.
    """

    def __init__(self, url: str) -> None:
        self._url, self._login = _split(url)
        self.where = shown(self._url.geturl())
        self._idle: list[http.client.HTTPConnection] = []
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._version: str | None = None
        try:
            data, self.size, self._version = self._end()
        except BaseException:
            self.close()
            raise
        self._tail = data

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on.

        Raises:
            ArchiveError: the file is shorter or has changed, or the server does not answer.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise truncated(self.where, offset, offset + length)
        begin = offset - (self.size - len(self._tail))
        if begin >= 0 or not length:
            return self._tail[max(0, begin) : max(0, begin) + length]
        last = offset + length - 1
        status, headers, data = self._get(f"bytes={offset}-{last}", length)
        if _version(headers) != self._version:
            raise ArchiveError(f"{self.where}: the file has changed meanwhile; open it again")
        wanted = [f"bytes {offset}-{last}/{total}" for total in (self.size, "*")]
        if status != 206 or headers.get("Content-Range") not in wanted or len(data) != length:
            raise self._no_ranges()
        return data

    def is_moved(self) -> bool:
        """No: every answer is held against the first one's mark of its version."""
        return False

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _end(self) -> tuple[bytes, int, str | None]:
        """The end of the file, its size, and what tells a changed file."""
        status, headers, data = self._get(f"bytes=-{TAIL_BYTES}", TAIL_BYTES)
        whole = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
        if status == 416 and whole and int(whole[1]):  # it knows ranges from a byte on alone
            size = int(whole[1])
            first = max(0, size - TAIL_BYTES)
            status, headers, data = self._get(f"bytes={first}-{size - 1}", TAIL_BYTES)
        match = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if status == 206 and match and int(match[2]) - int(match[1]) + 1 == len(data):
            end = int(match[2]) + 1
            if match[3] in (None, str(end)):
                return data, end, _version(headers)
        elif status == 200:  # the whole of a small file
            return data, len(data), _version(headers)
        raise self._no_ranges()

    def _get(self, span: str, most: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One range, following redirections, again where the server is busy."""
        trouble = ""
        moved = 0
        attempt = 0
        while attempt < _ATTEMPTS:
            connection, fresh = self._connection(self._url)
            try:
                with _within(connection, _TIMEOUT + most / _SLOWEST):
                    status, reason, headers, data = self._ask(connection, span, most)
                location = headers.get("Location")
                if status in _MOVED and location and moved < _REDIRECTS:
                    moved += 1
                    self._follow(location)
                    continue
                if status in (200, 206, 416):
                    self._give_back(connection)
                    return status, headers, data
                if status not in _BUSY:
                    raise ArchiveError(
                        f"{self.where}: the server answers {status} {shown(reason)}; "
                        "check the address"
                    )
                trouble = f"{status} {shown(reason)}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                see_memory(error, self.where)
                trouble = shown(str(error) or type(error).__name__)
                if not fresh:
                    continue  # the server has closed a connection that was kept open
            attempt += 1
            if attempt < _ATTEMPTS:
                time.sleep(PAUSE * 2 ** (attempt - 1))
        raise ArchiveError(
            f"{self.where}: the server does not answer ({trouble}); check the address and the "
            "network, and try again"
        )

    def _ask(
        self, connection: http.client.HTTPConnection, span: str, most: int
    ) -> tuple[int, str, http.client.HTTPMessage, bytes]:
        """One request; status, reason, headers, and the body where it is part of the file."""
        headers = {"Range": span, "Accept-Encoding": "identity", **self._login}
        connection.request("GET", _target(self._url), headers=headers)
        response = connection.getresponse()
        if response.status not in (200, 206):
            connection.close()
            return response.status, response.reason, response.headers, b""
        packing = response.headers.get("Content-Encoding", "identity")
        if packing != "identity":
            connection.close()
            raise ArchiveError(
                f"{self.where}: the server compresses what it gives ({shown(packing)}), so parts "
                "of the file cannot be read; have it serve the file as it is, or download it"
            )
        data = response.read(most + 1)
        if len(data) > most or response.read(1):
            connection.close()
            raise self._no_ranges()
        return response.status, response.reason, response.headers, data

    def _follow(self, location: str) -> None:
        """Go on at another address; a password goes to no other host, nothing to plain HTTP."""
        before = self._url
        try:
            self._url, login = _split(urljoin(before.geturl(), location))
        except ValueError:
            raise _no_address(location) from None
        if before.scheme == "https" and self._url.scheme != "https":
            raise ArchiveError(
                f"{self.where}: it leads from https to {shown(self._url.geturl())}, which anybody "
                "may read and change on its way; use that address if you trust it"
            )
        if login or _host(before) != _host(self._url):
            self._login = login

    def _connection(self, url: SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """An idle connection, or a fresh one."""
        with self._lock:
            if self._process != os.getpid():  # forked: those that are kept are another process's
                self._process, self._idle = os.getpid(), []
            while self._idle:
                connection = self._idle.pop()
                if (connection.host, connection.port) == _host(url):
                    return connection, False
                connection.close()
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(*_host(url), timeout=_TIMEOUT), True

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append(connection)

    def _no_ranges(self) -> ArchiveError:
        return ArchiveError(
            f"{self.where}: the server does not give parts of a file (Range requests); download "
            "it, or use another server"
        )


@contextmanager
def _within(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """A block whose exchange is cut off in the end, however slowly the other side drips."""

    def cut() -> None:
        if connection.sock:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, cut)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _split(url: str) -> tuple[SplitResult, dict[str, str]]:
    """An address as it is sent, without name and password, and the header that carries those."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
        host = (parts.hostname or "").encode("idna").decode()
        path, query = (quote(one, safe="/%:@!$&'()*+,;=?~") for one in (parts.path, parts.query))
    except (ValueError, UnicodeError):
        host = ""
    if not host or _NO_HOST.search(host) or parts.scheme not in ("http", "https"):
        raise _no_address(url)
    login = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        login = {"Authorization": f"Basic {b64encode(pair).decode()}"}
    host = f"[{host}]" if ":" in host else host
    return SplitResult(parts.scheme, host + port, path, query, ""), login


def _no_address(url: str) -> ArchiveError:
    told = shown(re.sub(r"//[^/@]*@", "//", url))
    return ArchiveError(f"{told}: no address of a file; it is like http://host/photos.kin.zip")


def _host(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _version(headers: http.client.HTTPMessage) -> str | None:
    """What tells a changed file: its tag, or the time of its last change."""
    return headers.get("ETag") or headers.get("Last-Modified")
