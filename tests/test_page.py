"""The page in a real browser: what it shows, finds, asks for and refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from benchmarks.seeing.page import page_weight
from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.codec.packets.packet import Kind
from kinpack.web.site import view
from tests.browser import Visit, browsing, needs_browser
from tests.javascript_runs import READER, built, needs_node, node
from tests.range_server import RangeServer

GOLDEN = Path(__file__).parent / "golden" / "format-1"
PAGE = READER.parent / "page"
HOSTILE = '<img src=x onerror="window.ran=1">&"\'/../%2e#?<b>.png'

needs_browser_slow = [needs_browser, pytest.mark.slow]


def picture(n: int, side: int = 24) -> Any:
    """A picture whose colours tell its number."""
    across = np.linspace(0, 255, side)
    image = np.zeros((side, side, 3), np.uint8)
    image[:, :, 0] = across[None, :] * ((n % 3) / 2)
    image[:, :, 1] = across[:, None] * ((n % 5) / 4)
    image[:, :, 2] = (n * 37) % 256
    return image


def archive(path: Path, count: int = 60, first: tuple[str, str | None] | None = None) -> Path:
    """An archive of pictures, classic, with codes of ``look``."""
    items: list[Any] = [(f"set/{n:05}.png", f"class {n % 2}", picture(n)) for n in range(count)]
    if first:
        items.insert(0, (*first, picture(1)))
    with Archive.create(path, "classic") as made:
        made.add([replace(item, columns={"note": HOSTILE}) for item in FakeSource(items)])
    return path


@contextmanager
def site(folder: Path) -> Iterator[RangeServer]:
    """A site on a static server."""
    server = RangeServer()
    for path in folder.iterdir():
        server.files[path.name] = path.read_bytes()
    server.files[""] = server.files["index.html"]
    with server.running():
        yield server


@contextmanager
def visited(path: Path, folder: Path, **options: Any) -> Iterator[tuple[Visit, RangeServer]]:
    """The page of an archive, open in a browser."""
    view(path, folder, title="Pictures & more")
    with site(folder) as server, browsing(**options) as visit:
        visit.open(f"{server.url}/index.html")
        yield visit, server


@needs_node
def test_the_committed_page_is_what_its_sources_make(tmp_path: Path) -> None:
    done = node(PAGE / "build.mjs", tmp_path / "page")
    assert done.returncode == 0, done.stderr.decode()
    carried = Path(view.__code__.co_filename).with_name("page")
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    assert {path.name: path.read_bytes() for path in carried.iterdir()} == fresh


def test_the_page_is_light() -> None:
    """What is loaded before the first payload that is no file, packed by gzip."""
    weight = page_weight()
    assert weight["begin"] < 50_000
    assert weight["all"] < 80_000


def test_a_site_holds_the_page_and_the_sealed_archive(tmp_path: Path) -> None:
    archive(tmp_path / "a.kin", 3)
    n_bytes = view(tmp_path / "a.kin", tmp_path / "site", title="<b>&")
    files = {path.name: path.read_bytes() for path in (tmp_path / "site").iterdir()}
    assert sum(map(len, files.values())) == n_bytes
    page = files["index.html"].decode()
    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert "unsafe" not in page.replace("wasm-unsafe-eval", "")
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert not re.search(
        rb"https?://(?!www\.w3\.org)", b"".join(files[n] for n in files if "js" in n)
    )
    with Archive.open(tmp_path / "site" / "archive.kin.zip") as sealed:
        assert len(sealed) == 3


@pytest.mark.usefixtures("tmp_path")
class TestInABrowser:
    pytestmark = needs_browser_slow

    def test_grid_click_kin_and_keys(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.kin")
        with visited(path, tmp_path / "site") as (visit, server):
            page = visit.page
            assert page.title() == "Pictures & more"
            assert visit.status() == "60 images"
            assert visit.shown()[:3] == ["set/00000.png", "set/00001.png", "set/00002.png"]
            page.locator("#grid .cell").nth(2).click()
            page.wait_for_selector("#figure img")
            page.wait_for_selector("#alike .cell img")
            assert page.inner_text("#name") == "set/00002.png"
            assert "class 0" in page.inner_text("#facts")
            assert "24 × 24" in page.inner_text("#facts")
            with Archive.open(path) as opened:
                hits = [hit.id for hit in opened.search("set/00002.png", 13, compare=0)][1:]
            visit.until("[...document.querySelectorAll('#alike .cell')].every(one => one.title)")
            found = page.eval_on_selector_all("#alike .cell", "all => all.map(one => one.title)")
            assert found == hits
            page.keyboard.press("ArrowRight")
            visit.until("document.querySelector('#name').innerText.includes('00003')")
            page.keyboard.press("Escape")
            assert not page.is_visible("#detail")
            assert page.evaluate("document.activeElement.title") == "set/00003.png"
            page.keyboard.press("End")
            assert page.evaluate("document.activeElement.title || document.activeElement.ariaLabel")
            visit.until("document.activeElement.title === 'set/00059.png'")
            page.keyboard.press("Enter")
            visit.until("document.querySelector('#name').innerText.includes('00059')")
            page.click("#kin")
            page.wait_for_selector("#grid .score")
            assert visit.shown()[0] == "set/00059.png"
            assert visit.said == []
            assert visit.hosts() == {server.url.removeprefix("http://")}

    def test_an_address_opens_an_image(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.kin", 3, (HOSTILE, None))
        with visited(path, tmp_path / "site") as (visit, _):
            visit.page.locator("#grid .cell").first.click()
            visit.page.wait_for_selector("#figure img")
            address = visit.page.url
            other = Visit(visit.page.context.new_page())
            other.open(address)
            other.page.wait_for_selector("#figure img")
            assert other.page.inner_text("#name") == HOSTILE

    def test_names_and_labels_narrow_the_list(self, tmp_path: Path) -> None:
        with visited(archive(tmp_path / "a.kin"), tmp_path / "site") as (visit, _):
            page = visit.page
            page.select_option("#label", label="class 1 (30)")
            visit.until("document.querySelector('#status').innerText === '30 images of 60'")
            page.fill("#text", "0000")
            visit.until("document.querySelector('#status').innerText === '5 images of 60'")
            assert visit.shown() == [f"set/0000{n}.png" for n in (1, 3, 5, 7, 9)]
            page.click("#all")
            visit.until("document.querySelector('#status').innerText === '60 images'")

    def test_a_picture_is_found(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.kin")
        sought = np.ascontiguousarray(np.rot90(picture(7)))
        PIL.Image.fromarray(sought).save(tmp_path / "sought.png")
        with visited(path, tmp_path / "site") as (visit, _):
            visit.page.set_input_files("#picture", tmp_path / "sought.png")
            visit.page.wait_for_selector("#grid .score")
            assert "sought.png" in visit.status()
            with Archive.open(path) as opened:
                hits = opened.search(sought, 10, compare=0)
            assert visit.shown()[:10] == [hit.id for hit in hits]
            visit.page.set_input_files(
                "#picture", {"name": "no.png", "mimeType": "image/png", "buffer": b"none"}
            )
            visit.page.wait_for_selector("#told.bad")
            assert "no.png" in visit.status()
            assert visit.said == []

    def test_another_archive_is_opened_where_it_is_dropped(self, tmp_path: Path) -> None:
        seal(archive(tmp_path / "other.kin", 3), tmp_path / "other.kin.zip")
        with visited(archive(tmp_path / "a.kin"), tmp_path / "site") as (visit, server):
            before = len(server.requests)
            data = [*(tmp_path / "other.kin.zip").read_bytes()]
            visit.page.evaluate(DROP, [data, "other.kin.zip"])
            visit.until("document.querySelector('#status').innerText === '3 images'")
            visit.page.wait_for_selector(".cell img")
            assert visit.page.title() == "other"
            assert len(server.requests) == before

    def test_only_what_is_seen_is_there_and_fetched(self, tmp_path: Path) -> None:
        count = 3000
        items: list[Any] = [(f"{n:05}", None, picture(n, 8)) for n in range(count)]
        with Archive.create(tmp_path / "a.kin", "classic") as made:
            made.add(FakeSource(items))
        with visited(tmp_path / "a.kin", tmp_path / "site") as (visit, server):
            page = visit.page
            # To the first picture: the directory, the index, and then codes and payloads.
            assert len([asked for asked in server.requests if asked]) <= 12
            before = len(server.requests)
            assert page.locator("#grid .cell").count() < 80
            page.evaluate("document.querySelector('#scroller').scrollTop = 1e9")
            visit.until("document.querySelector('[data-position=\"2999\"] img')")
            assert page.locator("#grid .cell").count() < 80
            # What was scrolled past is not read; what is seen, in few runs of neighbours.
            assert len(server.requests) - before < 12
            assert visit.shown()[-1] == f"{count - 1:05}"

    def test_nothing_of_an_archive_is_run(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.kin", 4, (HOSTILE, HOSTILE))
        with visited(path, tmp_path / "site") as (visit, _):
            page = visit.page
            assert visit.shown()[0] == HOSTILE
            page.locator("#grid .cell").first.click()
            page.wait_for_selector("#figure img")
            assert page.inner_text("#name") == HOSTILE
            assert page.inner_text("#facts").count(HOSTILE) == 2  # the label and the column
            assert page.evaluate("window.ran") is None
            assert page.locator("b").count() == 0
            assert visit.said == []

    @pytest.mark.parametrize("damage", ["nothing there", "cut", "no zip", "packets"])
    def test_a_damaged_archive_gets_one_line(self, tmp_path: Path, damage: str) -> None:
        view(archive(tmp_path / "a.kin", 4), tmp_path / "site")
        with site(tmp_path / "site") as server, browsing() as visit:
            data = server.files.pop("archive.kin.zip")
            if damage == "cut":
                server.files["archive.kin.zip"] = data[: len(data) // 2]
            elif damage == "no zip":
                server.files["archive.kin.zip"] = b"<script>window.ran=1</script>" * 9000
            elif damage == "packets":
                with Archive.open(tmp_path / "a.kin") as opened:
                    payload = opened.packet("set/00001.png").payload
                at = data.index(payload)
                server.files["archive.kin.zip"] = data[:at] + bytes(9) + data[at + 9 :]
            visit.open(f"{server.url}/index.html")
            if damage == "packets":
                visit.page.wait_for_selector(".cell .fault")
                visit.page.wait_for_selector(".cell img")
                line = visit.page.inner_text(".cell .fault")
                assert "set/00001.png" in line
            else:
                line = visit.status()
                assert "archive.kin.zip" in line
            assert "\n" not in line
            assert visit.page.evaluate("window.ran") is None
            assert not [said for said in visit.said if "404" not in said]

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1600])
    def test_axe_finds_nothing_serious(self, tmp_path: Path, scheme: Any, width: int) -> None:
        axe = READER / "node_modules" / "axe-core" / "axe.min.js"
        if not axe.is_file():
            pytest.skip("axe is not installed: npm ci --prefix web/reader")
        options = {"color_scheme": scheme, "viewport": {"width": width, "height": 740}}
        path = archive(tmp_path / "a.kin", 30)
        with visited(path, tmp_path / "site", **options) as (visit, _):
            page = visit.page
            page.evaluate(axe.read_text())
            for opened in (False, True):
                if opened:
                    page.locator("#grid .cell").first.click()
                    page.wait_for_selector("#alike .cell img")
                found = page.evaluate("axe.run().then(one => one.violations)")
                grave = [one for one in found if one["impact"] in ("serious", "critical")]
                assert not grave, [(one["id"], one["nodes"][0]["html"]) for one in grave]
                assert page.evaluate("document.documentElement.scrollWidth") <= width

    @needs_node
    def test_golden_archives_have_the_pixels_of_python(self, tmp_path: Path) -> None:
        drawing = tmp_path / "drawing.js"
        done = node("-e", BUNDLE, PAGE / "src" / "drawing.ts", drawing)
        assert done.returncode == 0, done.stderr.decode()
        server = RangeServer()
        server.files["drawing.js"] = drawing.read_bytes()
        server.files["reader.js"] = (built() / "kinpack-reader.js").read_bytes()
        server.files["page.html"] = b"<!doctype html><title>golden</title>"
        for path in sorted(GOLDEN.glob("*.kin")):
            seal(path, tmp_path / f"{path.stem}.zip")
            server.files[f"{path.stem}.zip"] = (tmp_path / f"{path.stem}.zip").read_bytes()
        with server.running(), browsing() as visit:
            visit.page.goto(f"{server.url}/page.html")
            for path in sorted(GOLDEN.glob("*.kin")):
                drawn = visit.page.evaluate(DRAW_ALL, f"{path.stem}.zip")
                with Archive.open(path) as opened:
                    assert [one["id"] for one in drawn] == opened.ids
                    for one, (entry, image) in zip(drawn, opened.images(), strict=True):
                        pixels = np.array(one["pixels"], np.uint8)
                        pixels = pixels.reshape(entry.height, entry.width, 4)
                        wanted = PIL.Image.fromarray(
                            image.squeeze(2) if image.shape[2] == 1 else image
                        )
                        exact = np.asarray(wanted.convert("RGBA"))
                        # Colours below an alpha of 0 are not seen, and browsers leave them out.
                        seen = exact[:, :, 3] > 0
                        off = np.abs(pixels.astype(int) - exact)[seen].max(initial=0)
                        most = (
                            1 if entry.kind is Kind.AVIF else 0
                        )  # other programs turn AV1 into colours
                        assert off <= most, (path.name, entry, off)


BUNDLE = """
const [from, to] = process.argv.slice(1);
require("esbuild").buildSync({ entryPoints: [from], outfile: to, bundle: true, format: "esm" });
"""
DROP = """
([data, name]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(data)], name));
  dispatchEvent(new DragEvent("dragenter", { dataTransfer: files }));
  dispatchEvent(new DragEvent("drop", { dataTransfer: files }));
}
"""
DRAW_ALL = """
async (name) => {
  const { Archive } = await import("/reader.js");
  const { layerPixels } = await import("/drawing.js");
  const archive = await Archive.open(new URL(name, location.href).href);
  const made = [];
  for await (const { id, width, height } of archive.entries()) {
    const pixels = new Uint8ClampedArray(4 * width * height);
    for (const layer of await archive.layers(id)) {
      const part = await layerPixels(layer);
      for (let y = 0; y < part.height; y++) {
        const row = part.data.subarray(4 * y * part.width, 4 * (y + 1) * part.width);
        pixels.set(row, 4 * ((layer.top + y) * width + layer.left));
      }
    }
    made.push({ id, pixels: Array.from(pixels) });
  }
  return made;
}
"""
