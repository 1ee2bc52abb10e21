"""Files read by ranges: one on a disk, or one that a web server gives."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError

TAIL_BYTES = 1 << 16
"""Bytes of the end of a file that are read when it is opened over HTTP, and kept."""

SCHEMES = ("http://", "https://")
"""How the addresses begin that ``HttpFile`` opens."""

_TIMEOUT = 30.0
_ATTEMPTS = 4
_PAUSE = 0.2
_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


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
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
            raise ArchiveError(f"{self.where}: the archive is closed; open it again")
        parts: list[bytes] = []
        done = 0
        try:
            while done < length and offset + length <= self.size:
                part = os.pread(self._descriptor, length - done, offset + done)
                if not part:
                    break
                parts.append(part)
                done += len(part)
        except OSError as error:
            raise refusal(error, self.where, "read") from error
        if done != length:
            raise _truncated(self.where, offset, length)
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)


class HttpFile:
    """A file that a web server gives by ranges; each ``read`` is one request.

    Its end is read when it is opened, and kept. Connections are kept open and shared by threads;
    a request that fails since the server is busy is tried again a few times.

    Args:
        url: the address, ``http://…`` or ``https://…``.

    Attributes:
        where: the address.
        size: the file's bytes.

    Raises:
        ArchiveError: there is no such file, or the server gives no ranges.
    """

    def __init__(self, url: str) -> None:
        self.where = url
        self._url = urlsplit(url)
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._version: str | None = None
        if not self._url.hostname:
            raise ArchiveError(
                f"{url}: no address of a file; it is like http://host/photos.kin.zip"
            )
        status, headers, data = self._get(f"bytes=-{TAIL_BYTES}", TAIL_BYTES)
        self._version = _version(headers)
        match = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if status == 206 and match and int(match[2]) - int(match[1]) + 1 == len(data):
            self.size = int(match[3])
        elif status == 200:  # the whole of a small file
            self.size = len(data)
        else:
            raise self._no_ranges()
        self._tail = data

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on.

        Raises:
            ArchiveError: the file is shorter or has changed, or the server does not answer.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise _truncated(self.where, offset, length)
        begin = offset - (self.size - len(self._tail))
        if begin >= 0 or not length:
            return self._tail[max(0, begin) : max(0, begin) + length]
        status, headers, data = self._get(f"bytes={offset}-{offset + length - 1}", length)
        if _version(headers) != self._version:
            raise ArchiveError(f"{self.where}: the file has changed meanwhile; open it again")
        wanted = f"bytes {offset}-{offset + length - 1}/{self.size}"
        if status != 206 or headers.get("Content-Range") != wanted or len(data) != length:
            raise self._no_ranges()
        return data

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _get(self, span: str, most: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One range, following redirections, again where the server is busy."""
        trouble = ""
        moved = 0
        attempt = 0
        while attempt < _ATTEMPTS:
            url = self._url
            connection, fresh = self._connection(url)
            try:
                connection.request("GET", _target(url), headers={"Range": span})
                response = connection.getresponse()
                location = response.headers.get("Location")
                if response.status in _MOVED and location and moved < _REDIRECTS:
                    connection.close()
                    moved += 1
                    self._url = urlsplit(urljoin(url.geturl(), location))
                    if self._url.scheme not in ("http", "https"):
                        raise ArchiveError(f"{self.where}: it leads to {location}, no web address")
                    continue
                if response.status in (200, 206):
                    data = response.read(most + 1)
                    if len(data) <= most and response.isclosed():
                        self._give_back(connection)
                        return response.status, response.headers, data
                    connection.close()
                    raise self._no_ranges()
                connection.close()
                if response.status not in _BUSY:
                    raise ArchiveError(
                        f"{self.where}: the server answers {response.status} {response.reason}; "
                        "check the address"
                    )
                trouble = f"{response.status} {response.reason}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                trouble = str(error) or type(error).__name__
                if not fresh:
                    continue  # the server has closed a connection that was kept open
            attempt += 1
            if attempt < _ATTEMPTS:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
        raise ArchiveError(
            f"{self.where}: the server does not answer ({trouble}); check the address and the "
            "network, and try again"
        )

    def _connection(self, url: SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """An idle connection, or a fresh one."""
        with self._lock:
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


def _host(url: SplitResult) -> tuple[str, int]:
    port = None
    with suppress(ValueError):
        port = url.port
    return url.hostname or "", port or (443 if url.scheme == "https" else 80)


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _version(headers: http.client.HTTPMessage) -> str | None:
    """What tells a changed file: its tag, or the time of its last change."""
    return headers.get("ETag") or headers.get("Last-Modified")


def _truncated(where: str, offset: int, length: int) -> ArchiveError:
    return ArchiveError(
        f"{where}: truncated: bytes {offset} to {offset + length} are not all there; restore the "
        "file from a copy"
    )
