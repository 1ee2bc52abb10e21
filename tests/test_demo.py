"""The demonstration: what it draws, packs and shows with the package alone, and its server."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import PIL.Image
import pytest

from kinpack.archive.archive import Archive
from kinpack.demo.demonstration import ARCHIVE, PICTURES, QUERY, SITE, demonstrate, free_folder
from kinpack.demo.pictures import HEIGHT, PAINTERS, WIDTH, Drawings, draw
from kinpack.errors import ArchiveError
from kinpack.web.static_server import serving_folder


def test_drawings_repeat_and_differ() -> None:
    seen = set()
    for kind in PAINTERS:
        for index in range(3):
            image = draw(kind, (0, index))
            assert image.shape == (HEIGHT, WIDTH, 3)
            assert (image == draw(kind, (0, index))).all()
            assert image.std() > 10
            seen.add(image.tobytes())
        assert draw(kind, (1, 0)).tobytes() not in seen
    assert len(seen) == 3 * len(PAINTERS)


def test_a_collection_of_drawings_is_a_source() -> None:
    drawings = Drawings(each=4, seed=2)
    items = list(drawings)
    assert len(items) == len(drawings)
    assert len({item.id for item in items}) == len(items)
    assert {item.label for item in items} == {*PAINTERS, "copies"}
    copy = next(item for item in items if item.label == "copies").load()
    original = items[0].load()
    assert (copy[:, ::-1] == original).all()  # the first copy is mirrored


@pytest.mark.slow
def test_it_makes_what_it_says(tmp_path: Path) -> None:
    told: list[float] = []
    made = demonstrate(
        tmp_path / "demo", Drawings(each=4), told=lambda share, text: told.append(share)
    )
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] < 1
    with Archive.open(made.folder / ARCHIVE) as archive:
        assert len(archive) == made.images == len(Drawings(each=4))
        assert set(archive.snapshot.schema) == {"number", "drawn"}
        query = np.asarray(PIL.Image.open(made.folder / QUERY))
        assert [hit.id for hit in archive.search(query, 6)] == [hit.id for hit in made.hits]
    pictures = list((made.folder / PICTURES).rglob("*.png"))
    assert len(pictures) == made.images
    assert sum(path.stat().st_size for path in pictures) == made.png_bytes
    assert made.payload_bytes < made.archive_bytes < made.png_bytes
    assert (made.folder / SITE / "map.json").is_file()
    with pytest.raises(ArchiveError, match="exists"):
        demonstrate(made.folder, Drawings(each=1))


@pytest.mark.slow
def test_the_command_says_how_to_see_it_without_a_screen(tmp_path: Path) -> None:
    screenless = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "kinpack", "demo", "-n", "2", "--no-open", "--json"],
        cwd=tmp_path,
        env=screenless,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["folder"] == "kinpack-demo"
    assert told["images"] == len(Drawings(each=2))
    assert told["hits"][0].startswith("balloons/")
    assert (tmp_path / "kinpack-demo").is_dir()


def test_another_folder_is_taken_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder(None) == Path("kinpack-demo")
    Path("kinpack-demo").mkdir()
    Path("kinpack-demo-2").mkdir()
    assert free_folder(None) == Path("kinpack-demo-3")
    with pytest.raises(ArchiveError):
        free_folder(Path("kinpack-demo"))


def test_its_server_gives_ranges_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    data = bytes(range(256)) * 3
    (folder / "archive.kin.zip").write_bytes(data)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "empty.json").write_bytes(b"")
    (tmp_path / "secret").write_text("secret")

    def ask(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    with serving_folder(folder) as address:
        port = urlsplit(address).port or 0
        status, told, body = ask("/")
        assert (status, body) == (200, b"<!doctype html>")
        assert "default-src 'none'" in told["content-security-policy"]
        assert told["content-type"].startswith("text/html")
        assert ask("/archive.kin.zip")[2] == data
        assert ask("/empty.json")[0] == 200
        for asked, first, stop in (("3-9", 3, 10), ("700-", 700, 768), ("-5", 763, 768)):
            status, told, body = ask("/archive.kin.zip", Range=f"bytes={asked}")
            assert (status, body) == (206, data[first:stop])
            assert told["content-range"] == f"bytes {first}-{stop - 1}/768"
        assert ask("/archive.kin.zip", Range="bytes=768-")[0] == 416
        assert ask("/archive.kin.zip", Range="bytes=9-3")[0] == 416
        assert ask("/archive.kin.zip", Range="lines=1-2")[2] == data
        for other in ("/../secret", "/%2e%2e/secret", "/none", "//etc/passwd", "/site"):
            assert ask(other)[0] == 404
        assert ask("/", Host="evil.example")[0] == 403
