"""The server: what it gives, to whom, and what it refuses."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import PIL.Image
import pytest

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.codec.packets.packet import Kind
from kinpack.pictures.images import load_image
from kinpack.search.query import Query
from kinpack.web import iiif
from kinpack.web.serving import listening_socket
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


FILTERS: list[tuple[list[list[Any]], str]] = [
    ([["note", "contains", "ONERROR"]], "note IS NOT NULL"),
    ([["label", "=", "class 1"], ["width", ">=", 24]], "label = 'class 1'"),
    ([["number", ">", 3], ["number", "<=", 7]], "number > 3 AND number <= 7"),
    ([["share", "<", 0.55]], "share < 0.55"),
    ([["taken", ">=", "2024-03-01"], ["taken", "!=", "2024-04-01"]],
     "taken >= DATE '2024-03-01' AND taken <> DATE '2024-04-01'"),
    ([["at", "<", "2024-05-04T12:00:00"]], '"at" < TIMESTAMP \'2024-05-04 12:00:00\''),
    ([["zone", ">=", "2024-05-04T12:00:00Z"]], "zone >= TIMESTAMPTZ '2024-05-04 12:00:00Z'"),
    ([["good", "=", True]], "good"),
    ([["good", "!=", True]], "NOT good"),
    ([["kind", "!=", "none"]], "TRUE"),
]  # fmt: skip


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, Server]]:
    """An archive with columns of every type, and a server of it that shows views."""
    path = tmp_path_factory.mktemp("typed") / "typed.kin"
    items: list[Any] = [(f"{n:02}", f"class {n % 2}", picture(n)) for n in range(12)]
    with Archive.create(path, "classic") as made:
        made.add(
            replace(
                item,
                columns={
                    "note": HOSTILE if n % 3 else None,
                    "number": n if n != 5 else None,
                    "share": n / 10,
                    "taken": date(2024, 1 + n, 1),
                    "at": datetime(2024, 5, 1 + n, 12),
                    "zone": datetime(2024, 5, 1 + n, 12, tzinfo=UTC),
                    "good": n % 2 == 0 if n else None,
                },
            )
            for n, item in enumerate(FakeSource(items))
        )
    options = ["--with", "map", "--with", "cost"]
    with serving(path, options=options) as server, Archive.open(path) as opened:
        yield opened, server


@pytest.mark.parametrize(("filters", "condition"), FILTERS)
def test_filters_pass_what_the_same_condition_in_sql_does(
    typed: tuple[Archive, Server], filters: list[list[Any]], condition: str
) -> None:
    pytest.importorskip("duckdb")
    archive, server = typed
    body = json.dumps({"like": "03", "filters": filters, "k": 50}).encode()
    as_json = {"Content-Type": "application/json"}
    hits = server.json("search", method="POST", body=body, headers=as_json)["hits"]
    wanted = archive.search("03", 50, where=archive.sql_filter(condition), compare=0)
    assert [hit["id"] for hit in hits] == [hit.id for hit in wanted]
    assert hits[0]["columns"].keys() == archive.snapshot.schema.keys()


@pytest.mark.parametrize(
    "filters",
    [
        "number", [], [["number"]], [["none", "=", 1]], [["number", "~", 1]],
        [["number", "=", "1"]], [["number", "contains", "1"]], [["good", "<", True]],
        [["taken", "=", "soon"]], [["number", "=", 1 << 70]], [[["number"], "=", 1]],
        [["number", ["="], 1]], [["at", "=", 5]], [["note", "=", 5]], [["good", "=", 1]],
        [["number", "=", True]], [["number", "=", 1]] * 65,
    ],
)  # fmt: skip
def test_filters_that_are_none_are_refused(typed: tuple[Archive, Server], filters: Any) -> None:
    _, server = typed
    body = json.dumps({"like": "03", "filters": filters}).encode()
    as_json = {"Content-Type": "application/json"}
    status, _, told = server.ask(server.path + "search", as_json, method="POST", body=body)
    assert status == 400
    assert "\n" not in json.loads(told)["error"]


def test_views_are_served_as_they_are_asked_for(typed: tuple[Archive, Server]) -> None:
    archive, server = typed
    index = server.ask(server.path)[2].decode()
    assert '<meta name="views" content="map cost">' in index
    for name in ("map", "cost"):
        data = server.json(f"{name}.json")
        assert data["images"] == len(archive)
        assert data["revision"] == archive.manifest.number
    assert server.ask(server.path + "duplicates.json")[0] == 404
    assert server.ask(server.path + "none.json")[0] == 404


def test_a_viewer_of_iiif_finds_what_it_asks_for(path: Path, server: Server) -> None:
    """Every address that ``info.json`` leads to is an image of the size that it states."""
    with Archive.open(path) as opened:
        for name in (HOSTILE, "set/00003.png"):
            base = f"{server.path}iiif/{quote(name, safe='')}"
            status, headers, body = server.ask(f"{base}/info.json")
            assert status == 200
            assert headers["content-type"].startswith("application/ld+json")
            info = json.loads(body)
            entry = opened.entry(name)
            assert urlsplit(info["id"]).path == base
            assert info["type"] == "ImageService3"
            assert info["profile"] == "level0"
            assert (info["width"], info["height"]) == (entry.width, entry.height)
            for size in ["max", *(f"{one['width']},{one['height']}" for one in info["sizes"])]:
                status, headers, body = server.ask(f"{base}/full/{size}/0/default.jpg")
                assert (status, headers["content-type"]) == (200, "image/jpeg")
                made = PIL.Image.open(io.BytesIO(body))
                full = f"{entry.width},{entry.height}"
                assert f"{made.width},{made.height}" == (full if size == "max" else size)
            assert server.ask(f"{base}/full/7,7/0/default.jpg")[0] == 404
            assert server.ask(f"{base}/0,0,5,5/max/0/default.jpg")[0] == 404
            assert server.ask(f"{base}/full/max/90/default.jpg")[0] == 404
    assert server.ask(f"{server.path}iiif/none/info.json")[0] == 404


def test_sizes_of_iiif_are_those_that_images_are_reduced_to() -> None:
    entry = ImageEntry(
        id="a", columns={}, width=3001, height=7, channels=3, quality=60, kind=Kind.AVIF, length=1
    )  # fmt: skip
    sizes = iiif.info(entry, "http://x/iiif")["sizes"]
    assert [size["width"] for size in sizes] == [64, 128, 256, 512, 1024, 2048, 3001]
    for size in sizes[:-1]:
        side = iiif.side_of(entry, f"{size['width']},{size['height']}")
        drawn = load_image(PIL.Image.new("RGB", (3001, 7)), size=side)
        assert drawn.shape[1::-1] == (size["width"], size["height"])


def test_answers_do_not_wait_for_each_other() -> None:
    """An answer is two writes: the second may not wait for the peer's acknowledgement."""
    with (
        listening_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_its_description_has_examples_that_are_queries(server: Server) -> None:
    told = json.loads(server.ask("/openapi.json")[2])
    search = told["paths"]["/{name}/search"]["post"]["requestBody"]["content"]["application/json"]
    known = {field.name for field in fields(Query)} | {"filters"}
    assert len(search["examples"]) >= 3
    for example in search["examples"].values():
        assert set(example["value"]) <= known
        Query(**{key: value for key, value in example["value"].items() if key != "filters"})


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
    for other in (
        "../../etc/passwd",
        "segments/../../x",
        "segments/none",
        ".tmp-x",
        "secret",
        "segments/%00",
    ):
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
        assert "'unsafe" not in headers["content-security-policy"]
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


def test_whoever_hangs_up_is_not_told_of_at_length(path: Path) -> None:
    """What breaks off in the midst is nothing that the server complains of."""
    command = [sys.executable, "-m", "kinpack", "serve", str(path), "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        server = Server(json.loads(process.stdout.readline())["addresses"])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                head = f"POST {server.path}search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                connection.sendall(f"{head}Content-Length: 99\r\n\r\n{{".encode())
                linger = struct.pack("ii", 1, 0)  # it is reset in place of closed
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert server.json("stats")["images"] == 13
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == b""


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
