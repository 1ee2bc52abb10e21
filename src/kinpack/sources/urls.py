"""Pictures of the web: a text file of their addresses, fetched when they are loaded."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

import kinpack
from kinpack.column_types import Schema
from kinpack.errors import ImageError, SourceError, see_memory, shown
from kinpack.pictures.images import Image, read_image
from kinpack.pictures.reading import Reading
from kinpack.sources.items import Item

LIST = ".txt"
"""The suffix of such a file."""

MOST_BYTES = 64 << 20
"""Most that a picture may have."""

AT_ONCE = 16
"""Pictures that are fetched at a time."""

_SECONDS = 60.0  # for one picture
_SILENCE = 20.0  # seconds without a byte
_ATTEMPTS = 3
_PAUSE = 1.0
_BUSY = frozenset({429, 500, 502, 503, 504})
_PIECE = 1 << 16
_LONGEST = 1 << 14  # characters of an address
_SCHEMES = ("http", "https")
_KEPT = "%/:?#[]@!$&'()*+,;=~-._"

GROUPS: dict[str, Schema] = {"url": {"url": "string"}, "hash": {"sha256": "string"}}
"""The columns that can be asked for, and their types."""


def is_list(path: Path) -> bool:
    """Tell whether a file is a list of addresses: its first line that is not empty begins so."""
    if path.suffix.lower() != LIST:
        return False
    try:
        with path.open("rb") as file:
            begin = file.read(_LONGEST).decode("utf-8-sig", "replace")
    except OSError:
        return False
    first = next((line for line in map(str.strip, begin.splitlines()) if _counts(line)), "")
    return first.lower().startswith(("http://", "https://"))


def _counts(line: str) -> bool:
    return bool(line) and not line.startswith("#")


class UrlSource:
    """Pictures whose addresses a text file lists, one a line.

    Lines that are empty or begin with "#" are passed over, and so is an address that comes again. A
    picture's id is its address without what it begins with, as "example.org/a/b.jpg".

    Args:
        path: of the file.
        name: what messages call the collection.
        reading: how pictures are read.
        columns: what else is kept of each, keys of ``GROUPS``.

    Attributes:
        at_once: how many are to be loaded at a time.

    Raises:
        SourceError: the file cannot be read, a line is no address, or there are no such columns.
    """

    at_once = AT_ONCE

    def __init__(self, path: Path, name: str, reading: Reading, columns: Sequence[str]) -> None:
        self.name, self._reading = name, reading
        for group in columns:
            if group not in GROUPS:
                raise SourceError(
                    f"{name}: addresses have no columns {group!r}; ask for {', '.join(GROUPS)}"
                )
        self._groups = tuple(dict.fromkeys(columns))
        self._urls: dict[str, str] = {}
        try:
            with path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, start=1):
                    if _counts(line := line.strip()):
                        self._urls.setdefault(_id(line, f"{name}, line {number}"), line)
        except (OSError, ValueError) as error:
            see_memory(error, name)
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{name}: the list cannot be read ({reason})") from error

    @property
    def columns(self) -> Schema:
        """The types of the columns that its items have."""
        return {name: of for group in self._groups for name, of in GROUPS[group].items()}

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return iter(self._urls)

    def __len__(self) -> int:
        return len(self._urls)

    def __iter__(self) -> Iterator[Item]:
        for id_, url in self._urls.items():
            known: dict[str, Any] = {}
            yield Item(id_, None, partial(self._load, url, known), known)

    def _load(self, url: str, known: dict[str, Any]) -> Image:
        data = fetch(url)
        plain, _ = _without_login(url)
        image = read_image(data, self._reading, where=shown(plain))
        if "url" in self._groups:
            known["url"] = plain
        if "hash" in self._groups:
            known["sha256"] = hashlib.sha256(data).hexdigest()
        return image


def _id(line: str, where: str) -> str:
    """The id of the picture of an address."""
    try:
        parts = urlsplit(line)
        usable = parts.scheme.lower() in _SCHEMES and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or len(line) > _LONGEST or not line.isprintable() or " " in line:
        raise SourceError(
            f"{where}: {shown(line[:80])} is no address that begins with http:// or https://; mend "
            "the line, or begin it with #"
        )
    host = parts.netloc.rpartition("@")[2].lower()
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{parts.path.rstrip('/')}{query}"


def _without_login(url: str) -> tuple[str, str | None]:
    """An address without a name and a password; and these, as they are sent."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    plain = parts._replace(netloc=host).geturl()
    return plain, f"Basic {b64encode(unquote(login).encode()).decode()}"


def fetch(url: str) -> bytes:
    """Fetch a picture's file; a server that is busy is asked again.

    A name and a password in the address are sent to its host alone, and never shown.

    Raises:
        ImageError: it is not there, too large or too slow, or the server cannot be reached.
    """
    plain, login = _without_login(url)
    where, begun = shown(plain), time.monotonic()
    for attempt in range(_ATTEMPTS):
        try:
            request = urllib.request.Request(  # noqa: S310 (its scheme was looked at)
                quote(plain, safe=_KEPT), headers={"User-Agent": f"kinpack/{kinpack.__version__}"}
            )
            if login:
                request.add_unredirected_header("Authorization", login)  # to no other host
            with _opener().open(request, timeout=_SILENCE) as answer:
                return _body(answer, where, begun)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _BUSY or attempt == _ATTEMPTS - 1:
                said = f"{error.code} {shown(str(error.reason))}"
                raise ImageError(f"{where}: the server answers {said}; leave it out") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            see_memory(error, where)
            reason = shown(str(getattr(error, "reason", error)) or type(error).__name__)
            if attempt == _ATTEMPTS - 1 or isinstance(error, ValueError):
                raise ImageError(
                    f"{where}: cannot be fetched ({reason}); check the address and the network"
                ) from error
        if time.monotonic() - begun > _SECONDS:
            break
        time.sleep(_PAUSE * 2**attempt)
    raise ImageError(f"{where}: takes more than {_SECONDS:.0f} s; try again later")


def _body(answer: IO[bytes], where: str, begun: float) -> bytes:
    """What a server sends, within the limits of bytes and time."""
    data = bytearray()
    while piece := answer.read(_PIECE):
        data += piece
        if len(data) > MOST_BYTES:
            raise ImageError(
                f"{where}: more than {MOST_BYTES >> 20} MiB, too many for a picture; leave it out"
            )
        if time.monotonic() - begun > _SECONDS:
            raise ImageError(f"{where}: takes more than {_SECONDS:.0f} s; try again later")
    stated = getattr(answer, "length", None)
    if stated:  # what is left of what the server said it would send
        raise http.client.IncompleteRead(bytes(data), stated)
    return bytes(data)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other addresses of the web, and not from https to http."""

    max_redirections = 5

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = (urlsplit(one).scheme.lower() for one in (req.full_url, newurl))
        if new not in _SCHEMES or (old == "https" and new == "http"):
            raise ValueError(f"it leads to an address that begins with {new}:")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """What opens addresses of the web, and no others."""
    return urllib.request.build_opener(_Redirects)
