"""The server: what it gives, to whom, and what it refuses."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import PIL.Image
import pytest

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from tests.browser import browsing, needs_browser
from tests.test_page import HOSTILE, archive, picture

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """A server in a process of its own."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        match = re.fullmatch(r"http://([^/:]+):(\d+)/([^?]*)(?:\?token=(.*))?", addresses[0])
        assert match
        self.port, self.path, self.token = int(match[2]), f"/{match[3]}", match[4]

    def ask(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, path: str, **options: Any) -> Any:
        status, _, body = self.ask(self.path + path, **options)
        assert status == 200, body
        return json.loads(body)


@contextmanager
def serving(*archives: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    command = [sys.executable, "-m", "kinpack", "serve", *map(str, archives), "--json"]
    with subprocess.Popen(
        [*command, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield Server(json.loads(line)["addresses"])
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            assert process.returncode == 0


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("served") / "pictures.kin", 12, (HOSTILE, None))


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[Server]:
    with serving(path) as one:
        yield one


def test_images_are_given_as_stored(path: Path, server: Server) -> None:
    with Archive.open(path) as opened:
        for name in opened.ids:
            address = f"{server.path}images/{quote(name, safe='/')}"
            status, headers, body = server.ask(address)
            wanted = opened.file(name)
            assert (status, headers["content-type"], body) == (200, *wanted)
            tag = headers["etag"]
            assert server.ask(address, {"If-None-Match": tag})[0] == 304
            assert headers["cache-control"] == "no-cache"
            checksum = f"{opened.packet(name).checksum():08x}"
            lasting = server.ask(f"{address}?v={checksum}")[1]["cache-control"]
            assert "immutable" in lasting
            assert "immutable" not in server.ask(f"{address}?v=00000000")[1]["cache-control"]


@pytest.mark.parametrize("form", ["png", "webp", "jpeg"])
def test_images_are_made_smaller_and_other(path: Path, server: Server, form: str) -> None:
    for _ in range(2):  # the second one is kept
        status, headers, body = server.ask(f"{server.path}images/set/00003.png?format={form}&w=10")
        assert status == 200
        made = PIL.Image.open(io.BytesIO(body))
        assert made.size == (10, 10)
        assert headers["content-type"] == made.get_format_mimetype()
    assert server.ask(f"{server.path}images/set/00003.png?w=99999")[0] == 400
    assert server.ask(f"{server.path}images/set/00003.png?format=exe")[0] == 422


def test_what_is_found_is_what_the_archive_finds(path: Path, server: Server) -> None:
    with Archive.open(path) as opened:
        wanted = [hit.id for hit in opened.search("set/00004.png", 5, compare=0)]
        assert [one["id"] for one in server.json("kin/set/00004.png?k=5")["hits"]] == wanted
        sent = io.BytesIO()
        PIL.Image.fromarray(picture(4)).save(sent, "png")
        by_picture = server.json("search?k=5", method="POST", body=sent.getvalue())
        hits = opened.search(picture(4), 5)
        assert [one["id"] for one in by_picture["hits"]] == [hit.id for hit in hits]
        asked: dict[str, Any] = {
            "like": ["set/00004.png", "set/00001.png"],
            "labels": ["class 1"],
            "k": 3,
        }
        as_json = {"Content-Type": "application/json"}
        query = json.dumps(asked).encode()
        found = server.json("search", method="POST", body=query, headers=as_json)
        wanted = [hit.id for hit in opened.search(**asked)]
        assert [one["id"] for one in found["hits"]] == wanted
        pixels = np.asarray(
            PIL.Image.open(io.BytesIO(server.ask(server.path + "placeholder/set/00001.png")[2]))
        )
        assert (pixels == opened.placeholder("set/00001.png")).all()
    assert server.json("stats")["images"] == 13


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"no picture", "image/png", 400),
        (b"{", "application/json", 400),
        (b'{"like": "/etc/passwd"}', "application/json", 404),
        (b'{"like": ["/etc/passwd"]}', "application/json", 404),
        (b'{"paths": 1}', "application/json", 400),
        (b'{"like": "set/00001.png", "k": 100000000}', "application/json", 400),
        (b'{"words": "ship"}', "application/json", 400),
        (bytes(21 << 20), "image/png", 413),
    ],
    ids=["no picture", "no JSON", "path", "paths", "field", "hits", "words", "large"],
)
def test_bad_searches_are_refused(
    path: Path, server: Server, body: bytes, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind}
    found, _, told = server.ask(f"{server.path}search", headers, method="POST", body=body)
    assert found == status
    line = json.loads(told)["error"]
    assert "\n" not in line
    assert str(path.parent) not in line
    assert "which is a file" not in line  # nothing is told of this machine's files


def test_its_files_are_given_by_ranges(path: Path, server: Server) -> None:
    files = server.json("files/")
    assert {name.split("/")[0] for name in files} == {
        "manifests", "codecs", "describers", "segments", "codes",
    }  # fmt: skip
    for name, size in files.items():
        data = (path / name).read_bytes()
        assert len(data) == size
        address = f"{server.path}files/{name}"
        assert server.ask(address)[2] == data
        status, headers, body = server.ask(address, {"Range": "bytes=3-9"})
        assert (status, body) == (206, data[3:10])
        assert headers["content-range"] == f"bytes 3-9/{size}"
        assert server.ask(address, {"Range": "bytes=-4"})[2] == data[-4:]
        for asked in ("bytes=99999999-", "bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=1-2,4-5"):
            assert server.ask(address, {"Range": asked})[0] == 416
    for other in ("../../etc/passwd", "segments/../../x", "segments/none", ".tmp-x", "secret"):
        assert server.ask(f"{server.path}files/{other}")[0] == 404


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[::2]"])
def test_other_names_of_this_machine_are_refused(server: Server, name: str) -> None:
    for path in (server.path, f"{server.path}files/", f"{server.path}images/set/00001.png"):
        assert server.ask(path, {"Host": f"{name}:{server.port}"})[0] == 403
    headers = {"Origin": f"http://{name}"}
    assert server.ask(f"{server.path}search", headers, method="POST", body=b"x")[0] == 403


def test_browsers_are_told_to_be_strict(server: Server) -> None:
    for path in (server.path, f"{server.path}stats", f"{server.path}images/set/00001.png", "/no/x"):
        headers = server.ask(path)[1]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    for method in ("PUT", "DELETE", "PATCH"):
        assert server.ask(f"{server.path}images/set/00001.png", method=method)[0] == 405


def test_a_token_is_asked_for(path: Path) -> None:
    with serving(path, path, options=["--host", "0.0.0.0"]) as server:  # noqa: S104
        assert len(server.addresses) == 2
        assert server.token
        assert len(server.token) > 16
        assert server.ask(server.path)[0] == 401
        assert server.ask(f"{server.path}?token=x")[0] == 401
        assert server.ask(server.path, {"Authorization": f"Bearer {server.token}"})[0] == 200
        status, headers, _ = server.ask(f"{server.path}?token={server.token}")
        assert status == 200
        assert "HttpOnly" in headers["set-cookie"]
        cookie = headers["set-cookie"].split(";")[0]
        assert server.ask(server.path, {"Cookie": cookie})[0] == 200
        assert server.ask("/", {"Cookie": cookie})[2].count(b"13 images") == 2


def test_a_growing_archive_is_shown_as_it_grows(tmp_path: Path) -> None:
    with serving(archive(tmp_path / "a.kin", 3)) as server:
        assert server.json("stats")["images"] == 3
        with Archive.open(tmp_path / "a.kin") as grown:
            grown.add(FakeSource([("new", None, picture(9))]))
        for _ in range(100):
            if server.json("stats")["images"] == 4:
                break
            time.sleep(0.1)
        assert server.ask(f"{server.path}images/new")[0] == 200


def test_a_port_that_is_taken_is_one_line(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "kinpack", "serve", str(path), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert port in done.stderr
    assert done.stderr.count("\n") == 1


@needs_browser
@pytest.mark.parametrize("form", ["folder", "sealed"])
def test_its_page_shows_searches_and_asks_nobody_else(
    path: Path, tmp_path: Path, form: str
) -> None:
    shown = path
    if form == "sealed":
        shown = tmp_path / "pictures.kin.zip"
        seal(path, shown)
    with serving(shown) as server, browsing() as visit:
        visit.open(server.addresses[0])
        assert visit.status() == "13 images"
        assert visit.shown()[0] == HOSTILE
        visit.page.locator("#grid .cell").nth(3).click()
        visit.page.wait_for_selector("#alike .cell img")
        assert visit.said == []
        assert visit.hosts() == {f"127.0.0.1:{server.port}"}
