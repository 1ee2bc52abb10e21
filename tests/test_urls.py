"""Lists of addresses: pictures are fetched within limits, several at once; failures are told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.archive import Archive
from kinpack.errors import ImageError, SourceError
from kinpack.pictures.images import load_image, to_pil
from kinpack.sources import urls
from kinpack.sources.opening import open_source
from tests.cli_runs import ask, run
from tests.picture_files import coded

FILES = [coded(to_pil(image), "PNG") for _, _, image in pictures(8).images]


class Site(ThreadingHTTPServer):
    """Serves pictures, and does what else servers do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.together = threading.Barrier(4)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        self.server.asked[name] += 1
        length, body, code, more = None, b"", 200, {}
        if name[:1].isdigit():
            body = FILES[int(name[0])]
        if name == "together.png":
            self.server.together.wait(timeout=20)
            body = FILES[0]
        elif name == "busy.png":
            code, body = (503, b"") if self.server.asked[name] == 1 else (200, FILES[1])
        elif name == "always-busy.png":
            code = 503
        elif name == "cut.png":
            body, length = FILES[2][:50], len(FILES[2])
        elif name == "large.png":
            body = bytes(5000)
        elif name == "moved.png":
            code, more = 302, {"Location": "/3.png"}
        elif name == "away.png":
            code, more = 302, {"Location": "file:///etc/passwd"}
        elif name == "round.png":
            code, more = 302, {"Location": "/round.png"}
        elif name == "private.png":
            login = self.headers.get("Authorization")
            code, body = (200, FILES[4]) if login == "Basic bWU6czpjcmV0" else (401, b"")
        elif name == "private-moved.png":
            code, more = 302, {"Location": "/private.png"}
        elif name == "page.png":
            body = b"<html>no picture</html>"
        elif not body:
            code = 404
        self.send_response(code)
        for key, value in more.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urls, "_PAUSE", 0.01)
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listed(folder: Path, *lines: str) -> Path:
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_pictures_are_those_that_the_addresses_give(site: Site, tmp_path: Path) -> None:
    path = listed(
        *(tmp_path, "# what we like", "", f"{site.base}/a/0.png", f"  {site.base}/1.png?w=5  "),
        *(f"{site.base}/moved.png", f"{site.base}/busy.png", f"{site.base}/a/0.png"),
        *(f"{site.base}/grün/2.png", f"http://me:s%3acret@{site.host}/private.png"),
    )
    source = open_source(path, columns=["url", "hash"])
    wanted = {"a/0.png": 0, "1.png?w=5": 1, "moved.png": 3, "busy.png": 1, "grün/2.png": 2}
    ids = {f"{site.host}/{name}": number for name, number in {**wanted, "private.png": 4}.items()}
    assert [item.id for item in source] == list(ids)
    assert len(source) == len(ids)
    for item, number in zip(source, ids.values(), strict=True):
        np.testing.assert_array_equal(item.load(), load_image(FILES[number]))
        assert item.label is None
        assert item.columns["url"].startswith("http")
        assert "cret" not in item.columns["url"]
    assert site.asked["busy.png"] == 2


def test_several_are_fetched_at_a_time(site: Site, tmp_path: Path) -> None:
    path = listed(tmp_path, *(f"{site.base}/{number}/together.png" for number in range(8)))
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        assert archive.add(open_source(path)).added == 8  # four wait for each other


def test_failures_are_listed_and_all_others_taken(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "MOST_BYTES", 4000)
    failing = {
        "none.png": "404",
        "always-busy.png": "503",
        "cut.png": "cannot be fetched",
        "large.png": "too many",
        "away.png": "302",
        "round.png": "302",
        "page.png": "not a picture",
    }
    names = ["0.png", *failing, "1.png"]
    path = listed(tmp_path, *(f"{site.base}/{name}" for name in names), "http://host.invalid/5.png")
    place = tmp_path / "a.kin"
    found = ask("pack", path, "-o", place, "--codec", "classic", "--skip-broken")
    assert found["added"] == 2
    told = {one["id"].rpartition("/")[2]: one["reason"] for one in found["broken"]}
    assert told.keys() == {*failing, "5.png"}
    for name, words in failing.items():
        assert words in told[name]
        assert "\n" not in told[name]
    assert site.asked["none.png"] < site.asked["always-busy.png"]
    assert "404" in run("add", place, path, "--on-duplicate", "skip", code=3).stderr


def test_a_password_goes_nowhere_else_and_is_not_shown(site: Site) -> None:
    with pytest.raises(ImageError, match="401") as told:
        urls.fetch(f"http://me:s%3acret@{site.host}/private-moved.png")
    assert "cret" not in str(told.value)


def test_what_takes_too_long_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "_SECONDS", -1.0)
    with pytest.raises(ImageError, match="takes more than"):
        urls.fetch(f"{site.base}/0.png")
    with pytest.raises(ImageError, match="takes more than"):
        urls.fetch(f"{site.base}/always-busy.png")


def test_https_never_leads_to_http() -> None:
    import urllib.request

    handler = urls._Redirects()
    request = urllib.request.Request("https://example.org/a.png")
    for address in ("http://example.org/a.png", "file:///etc/passwd", "ftp://example.org/a"):
        with pytest.raises(ValueError, match="leads to"):
            handler.redirect_request(request, None, 302, "Found", {}, address)


@pytest.mark.parametrize(
    "line",
    ["photos/a.jpg", "ftp://example.org/a.jpg", "https://", "http://[::1", "http://a b/c.jpg"],
)
def test_a_line_that_is_no_address_is_named(line: str, tmp_path: Path) -> None:
    path = listed(tmp_path, "https://example.org/a.jpg", line)
    with pytest.raises(SourceError, match="line 2"):
        open_source(path)


def test_other_texts_are_no_lists(tmp_path: Path) -> None:
    path = listed(tmp_path, "some words")
    (item,) = open_source(path)
    with pytest.raises(ImageError):
        item.load()
    good = listed(tmp_path, "https://example.org/a.jpg")
    with pytest.raises(SourceError, match="url, hash"):
        open_source(good, columns=["exif"])
