"""Sealed archives over HTTP from servers that people have: odd ones work, or are named rightly."""

from __future__ import annotations

import gzip
import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.stores import ranged
from kinpack.archive.stores.ranged import TAIL_BYTES, HttpFile
from kinpack.errors import ArchiveError
from tests.archive_checks import CODEC, content, make, reopened
from tests.range_server import RangeServer

NAME = "é ü%.kin.zip"


class OddServer(RangeServer):
    """A server with a manner of its own: see ``answer``."""

    def __init__(self, manner: str) -> None:
        super().__init__()
        self.manner = manner
        self.logins: list[str | None] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.logins.append(request.headers.get("Authorization"))
        asked = request.headers.get("Range", "")
        request.path = unquote(request.path)
        data = self.files.get(request.path.lstrip("/"), b"")
        match self.manner:
            case "no suffix" if asked.startswith("bytes=-"):
                self._send(request, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            case "endless size":
                self._send(request, 416, b"", {"Content-Range": f"bytes */{'9' * 5000}"})
            case "moved nowhere":
                self._send(request, 302, b"", {"Location": "http://[::1/a.kin.zip"})
            case "login" if not self.logins[-1]:
                self._send(request, 401, b"", {"WWW-Authenticate": "Basic"})
            case "drip":
                request.send_response(206)
                with suppress(OSError):
                    while True:
                        request.wfile.write(b"X-Drip: 1\r\n")
                        time.sleep(0.01)
            case _:
                super().answer(request)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str]
    ) -> None:
        match self.manner:
            case "gzip" if status in (200, 206):
                data, headers = gzip.compress(data), {**headers, "Content-Encoding": "gzip"}
            case "no total" if "Content-Range" in headers:
                span = headers["Content-Range"].partition("/")[0]
                headers = {**headers, "Content-Range": f"{span}/*"}
            case "chunked":
                request.send_response(status)
                for key, value in {**headers, "Transfer-Encoding": "chunked"}.items():
                    request.send_header(key, value)
                request.end_headers()
                request.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
                return
            case "weak tag" if "ETag" in headers:
                headers = {**headers, "ETag": f"W/{headers['ETag']}"}
            case "new tag" if "ETag" in headers:
                headers = {**headers, "ETag": f'"{len(self.requests)}"'}
        super()._send(request, status, data, headers)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    make(folder / "a.kin", pictures(60, side=60))
    with reopened(folder / "a.kin") as archive:
        assert seal(archive, folder / "a.kin.zip") > 2 * TAIL_BYTES
    return folder / "a.kin.zip"


@contextmanager
def serving(manner: str, sealed: Path, name: str = "a.kin.zip") -> Iterator[OddServer]:
    server = OddServer(manner)
    server.files[name.replace("%", "")] = sealed.read_bytes()
    with server.running():
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["no suffix", "no total", "chunked", "weak tag"])
def test_odd_servers_work(manner: str, sealed: Path) -> None:
    with serving(manner, sealed) as server:
        assert content(f"{server.url}/a.kin.zip") == content(sealed)


@pytest.mark.parametrize(
    ("manner", "told"),
    [
        ("gzip", r"the server compresses what it gives \(gzip\)"),
        ("new tag", "the file has changed meanwhile"),
        ("login", "the server answers 401"),
        ("endless size", "does not give parts of a file"),
        ("moved nowhere", "no address of a file"),
    ],
)
def test_others_are_named_rightly(manner: str, told: str, sealed: Path) -> None:
    with serving(manner, sealed) as server, pytest.raises(ArchiveError, match=told):
        list(reopened(f"{server.url}/a.kin.zip").images())


def test_a_password_is_sent_and_never_shown(sealed: Path) -> None:
    with serving("login", sealed) as server:
        address = server.url.replace("//", "//me:s%40cret@")
        with Archive.open(f"{address}/a.kin.zip", codec=CODEC) as archive:
            assert archive.read("set/00000").size
            assert set(server.logins) == {"Basic bWU6c0BjcmV0"}
            assert "cret" not in archive.where
        server.files.clear()
        server.files["a.kin.zip"] = b"no archive"
        with pytest.raises(ArchiveError) as caught:
            Archive.open(f"{address}/a.kin.zip")
        assert "cret" not in str(caught.value)


def test_a_password_goes_to_no_other_host(sealed: Path) -> None:
    with serving("", sealed) as other, serving("", sealed) as server:

        class Sends(OddServer):
            def answer(self, request: BaseHTTPRequestHandler) -> None:
                self._send(request, 302, b"", {"Location": f"{other.url}/a.kin.zip"})

        sends = Sends("")
        with sends.running():
            HttpFile(sends.url.replace("//", "//me:secret@") + "/a.kin.zip").close()
        assert other.logins == [None]
        assert server.logins == []


def test_addresses_of_any_letters(sealed: Path) -> None:
    with serving("", sealed, name="é ü.kin.zip") as server:
        assert HttpFile(f"{server.url}/é ü.kin.zip").size == sealed.stat().st_size
        assert HttpFile(f"{server.url}/%C3%A9%20ü.kin.zip").size == sealed.stat().st_size


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1/x",
        "http://h:port/x",
        "http://h:99999/x",
        "https:///x",
        "http://.é./x",
        "http://a b/x",
        "http://h/\udcff",
    ],
)
def test_what_is_no_address_is_one_line(address: str) -> None:
    with pytest.raises(ArchiveError, match="no address of a file"):
        HttpFile(address)
    with pytest.raises(ArchiveError) as caught:
        HttpFile(address.replace("//", "//me:secret@"))
    assert "secret" not in str(caught.value)


def test_https_never_leads_to_http(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http.client.HTTPSConnection", http.client.HTTPConnection)

    class Sends(OddServer):
        def answer(self, request: BaseHTTPRequestHandler) -> None:
            self._send(request, 301, b"", {"Location": f"{self.url}/a.kin.zip"})

    sends = Sends("")
    with sends.running(), pytest.raises(ArchiveError, match="leads from https to http:"):
        HttpFile(sends.url.replace("http:", "https:") + "/a.kin.zip")


def test_a_dripping_server_is_left(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_TIMEOUT", 0.2), ("_SLOWEST", 1 << 30), ("_ATTEMPTS", 1)):
        monkeypatch.setattr(ranged, name, value)
    with (
        serving("drip", sealed) as server,
        pytest.raises(ArchiveError, match="the server does not answer"),
    ):
        HttpFile(f"{server.url}/a.kin.zip")
