"""What the page shows beside the grid, and what it finds by words and conditions, in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from fakes.fake_codec import FakeSource
from fakes.tiny_describer import wordy_describer
from kinpack.archive.archive import Archive
from kinpack.archive.overviews.clustering import clusters_of
from kinpack.archive.overviews.costs import costs_of
from kinpack.archive.overviews.mapping import map_of
from kinpack.describers.describer import Describer
from kinpack.errors import ArchiveError
from kinpack.web.site import view
from kinpack.web.views import CLUSTERS, VIEWS
from tests.browser import Visit, browsing, needs_browser
from tests.javascript_runs import READER
from tests.test_page import HOSTILE, picture, site

pytest.importorskip("faiss")
COUNT = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with columns of every type, words, and duplicates."""
    path = tmp_path_factory.mktemp("views") / "a.kin"
    rng = np.random.default_rng(3)
    items: list[Any] = []
    for n in range(COUNT):
        image = picture(n) if n % 2 else np.broadcast_to(rng.integers(0, 256, 3), (20, 30, 3))
        items.append((f"set/{n:03}", f"class {n % 2}", image.astype(np.uint8)))
    items.append(("set/copy", None, picture(7)))
    made = FakeSource(items)
    with Archive.create(
        path, "classic", describer={"look": Describer.load("look"), "wordy": wordy_describer()}
    ) as archive:
        archive.add([replace(item, columns=columns(n)) for n, item in enumerate(made)])
    return path


def columns(n: int) -> dict[str, Any]:
    return {
        "year": 2000 + n % 7 if n % 5 else None,
        "share": n / 10,
        "note": f"Note {n % 4} {HOSTILE}" if n % 3 else None,
        "taken": date(2024, 1 + n % 12, 1),
        "at": datetime(2024, 5, 1 + n % 20, 12, 0, 0, 500 * (n % 2)),
        "zone": datetime(2024, 5, 1 + n % 20, 23, tzinfo=UTC),
        "good": n % 2 == 0,
    }


@pytest.fixture(scope="module")
def folder(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    view(path, folder, title="Views", views=VIEWS)
    return folder


@contextmanager
def visited(folder: Path, **options: Any) -> Iterator[Visit]:
    with site(folder) as server, browsing(**options) as visit:
        visit.open(f"{server.url}/index.html")
        yield visit


def chosen(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name=name, exact=True).click()


def test_views_are_what_the_archive_computes(path: Path, folder: Path) -> None:
    data = {name: json.loads((folder / f"{name}.json").read_bytes()) for name in VIEWS}
    with Archive.open(path) as archive, Archive.open(folder / "archive.kin.zip") as sealed:
        ids = sealed.ids
        for one in data.values():
            assert one["images"] == len(ids)
            assert one["revision"] == sealed.manifest.number
        layout = map_of(archive)
        assert data["map"]["positions"] is None
        places = np.array([data["map"]["x"], data["map"]["y"]]).T / 65535
        assert np.abs(places - layout.places).max() < 1e-4
        clusters = [tuple(ids[at] for at in one) for one in data["clusters"]["clusters"]]
        assert clusters == [one.ids for one in clusters_of(archive, CLUSTERS)]
        exact = data["duplicates"]["groups"][0]
        assert exact["band"] == "exact"
        assert ids[exact["kept"]] == "set/007"
        assert [ids[one["position"]] for one in exact["others"]] == ["set/copy"]
        assert exact["others"][0]["similarity"] == 1
        told = costs_of(sealed)
    assert data["cost"]["files"] == json.loads(json.dumps(told.to_dict()["files"]))
    index = (folder / "index.html").read_text()
    assert f'<meta name="views" content="{" ".join(VIEWS)}">' in index


def test_costs_count_what_is_there(path: Path) -> None:
    with Archive.open(path) as archive:
        told = costs_of(archive, seed=3)
        again = costs_of(archive, seed=3)
        assert told == again
        lengths = [entry.length for entry in archive.entries()]
        files = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert told.payloads == sum(lengths)
    assert told.bytes == files
    assert told.sample == 48
    assert told.shared + told.payloads < told.bytes
    near, nearer = told.files
    assert near.psnr < nearer.psnr
    for form, size in near.bytes.items():
        larger = nearer.bytes[form]
        assert size is not None
        assert larger is None or larger >= size


def test_unknown_views_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="globe"):
        view(path, tmp_path / "site", views=["globe"])
    assert not (tmp_path / "site").exists()


CONDITIONS: list[tuple[str, str, str, Any]] = [
    ("year", "at least", "2003", pc.field("year") >= 2003),
    ("year", "is", "2004", pc.field("year") == 2004),
    ("share", "at most", "2.05", pc.field("share") <= 2.05),
    ("note", "contains", "NOTE 2", pc.match_substring(pc.field("note"), "Note 2")),
    ("note", "is not", f"Note 2 {HOSTILE}", pc.field("note") != f"Note 2 {HOSTILE}"),
    ("taken", "from", "2024-06-01", pc.field("taken") >= date(2024, 6, 1)),
    ("at", "until", "2024-05-09T12:00", pc.field("at") <= datetime(2024, 5, 9, 12)),
    ("good", "is false", "", ~pc.field("good")),
    ("width", "at least", "25", pc.field("width") >= 25),
]


@pytest.mark.slow
@needs_browser
class TestInABrowser:
    def test_conditions_list_what_they_list_in_python(self, path: Path, folder: Path) -> None:
        with visited(folder) as visit, Archive.open(path) as archive:
            page = visit.page
            for column, operator, value, where in CONDITIONS:
                chosen(visit, "Filter…")
                row = page.locator("#conditions li").last
                row.locator("select").nth(0).select_option(column)
                row.locator("select").nth(1).select_option(label=operator)
                if value:
                    row.locator("input").fill(value)
                table = archive.table().filter(where)
                wanted = table.column("id").to_pylist()
                visit.until(status(f"{len(wanted)} images of {COUNT + 1}"))
                assert set(visit.shown()) <= set(wanted)
                row.get_by_role("button", name="Remove this condition").click()
                visit.until(status(f"{COUNT + 1} images"))
            page.select_option("#label", label="class 1 (30)")
            chosen(visit, "Filter…")
            page.locator("#conditions select").first.select_option("year")
            page.locator("#conditions input").fill("2003")
            page.fill("#text", "set/0")
            both = (pc.field("year") >= 2003) & (pc.field("label") == "class 1")
            wanted = archive.table().filter(both).column("id").to_pylist()
            visit.until(status(f"{len(wanted)} images of {COUNT + 1}"))
            # What is alike is looked for among those that pass.
            page.locator("#grid .cell").first.click()
            page.wait_for_selector("#alike .cell")
            page.click("#kin")
            page.wait_for_selector("#grid .score")
            hits = archive.search(wanted[0], 100, where=both, compare=0)
            assert visit.shown()[:12] == [hit.id for hit in hits[:12]]
            assert "among those that pass" in visit.status()
            chosen(visit, "Show all images")
            visit.until(status(f"{COUNT + 1} images"))
            assert visit.said == []

    def test_words_find_what_they_find_in_python(self, path: Path, folder: Path) -> None:
        with visited(folder) as visit, Archive.open(path) as archive:
            page = visit.page
            visit.until("!document.querySelector('#by-words').hidden")
            page.focus("#words")
            visit.until("document.querySelectorAll('#vocabulary option').length > 5")
            page.fill("#words", "Reds")
            page.press("#words", "Enter")
            page.wait_for_selector("#grid .score")
            hits = archive.search(words="red", k=100)
            similar = {hit.id: hit.similarity for hit in hits}
            shown = [similar[name] for name in visit.shown()[:10]]
            assert shown == pytest.approx([hit.similarity for hit in hits[:10]], abs=1e-3)
            page.select_option("#label", label="class 1 (30)")
            visit.until(
                status(
                    "30 images that may show: Reds, the surest first among those that pass the "
                    "filter"
                )
            )
            page.fill("#words", "gren")
            page.press("#words", "Enter")
            page.wait_for_selector("#told.bad")
            page.get_by_role("button", name="green", exact=True).click()
            visit.until("document.querySelector('#status').innerText.includes('show: green')")
            hits = archive.search(words="green", k=100, labels="class 1")
            assert visit.shown()[0] == hits[0].id
            page.fill("#words", "")
            page.press("#words", "Enter")
            visit.until(status(f"30 images of {COUNT + 1}"))
            assert visit.said == []

    def test_the_map_is_reached_by_keys_and_pointer(self, path: Path, folder: Path) -> None:
        with visited(folder) as visit:
            page = visit.page
            chosen(visit, "Map")
            page.wait_for_selector(".plane .cell img")
            cells = "[...document.querySelectorAll('.plane .cell')]"
            before = page.evaluate(f"{cells}.length")
            assert 3 < before <= COUNT + 1
            assert page.evaluate(f"{cells}.filter(one => one.tabIndex === 0).length") == 1
            page.evaluate(f"{cells}.find(one => one.tabIndex === 0).focus()")
            first = page.evaluate("document.activeElement.dataset.position")
            reached = set()
            for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
                page.keyboard.press(key)
                reached.add(page.evaluate("document.activeElement.dataset.position"))
            assert reached - {first}
            page.keyboard.press("+")
            page.keyboard.press("+")
            visit.until("document.activeElement.closest('.plane .cell') !== null")
            page.keyboard.press("Enter")
            page.wait_for_selector("#figure img")
            page.keyboard.press("Escape")
            chosen(visit, "Show the whole map")
            visit.until(f"{cells}.length === {before}")
            page.select_option("#label", label="class 1 (30)")
            # What is not listed has no picture any more.
            visit.until(f"{cells}.length && {cells}.every(one => /class 1/.test(one.ariaLabel))")
            box = page.locator(".plane").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.mouse.wheel(0, -600)
            page.mouse.down()
            page.mouse.move(box["x"] + 40, box["y"] + 40, steps=4)
            page.mouse.up()
            assert not page.is_visible("#detail")  # a drag opens nothing
            chosen(visit, "Grid")
            visit.until("document.querySelector('#grid .cell img')")
            assert visit.said == []

    def test_clusters_duplicates_and_costs(self, path: Path, folder: Path) -> None:
        data = {name: json.loads((folder / f"{name}.json").read_bytes()) for name in VIEWS}
        with visited(folder) as visit, Archive.open(path) as archive:
            page, ids = visit.page, archive.ids
            chosen(visit, "Clusters")
            page.wait_for_selector(".clusters .cell img")
            first = data["clusters"]["clusters"][0]
            visit.until(named(".clusters li:first-child .cell"))
            names = (
                page.locator(".strips > li")
                .first.locator(".cell")
                .evaluate_all("all => all.map(one => one.title)")
            )
            assert names == [ids[at] for at in first[:24]]
            page.locator(".clusters .head button").first.click()
            visit.until(status(f"{len(first)} images of cluster 1"))
            assert visit.shown()[0] == ids[first[0]]
            chosen(visit, "Duplicates")
            page.wait_for_selector(".duplicates .cell img")
            group = data["duplicates"]["groups"][0]
            visit.until(named(".duplicates li:first-child .cell"))
            page.locator(".duplicates .cell").nth(1).click()
            other = ids[group["others"][0]["position"]]
            visit.until(f"document.querySelector('#name').innerText === '{other}'")
            page.keyboard.press("Escape")
            chosen(visit, "Cost")
            page.wait_for_selector(".cost table")
            assert page.locator(".cost tbody tr").count() == 7
            assert f"{data['cost']['bytes']:,}" in page.inner_text(".cost")
            assert visit.said == []

    def test_data_of_another_revision_are_refused(self, folder: Path) -> None:
        with site(folder) as server, browsing() as visit:
            data = json.loads(server.files["map.json"])
            server.files["map.json"] = json.dumps({**data, "revision": 99}).encode()
            server.files["cost.json"] = b"<b>"
            clusters = json.loads(server.files["clusters.json"])
            server.files["clusters.json"] = json.dumps({**clusters, "clusters": 5}).encode()
            visit.open(f"{server.url}/index.html")
            chosen(visit, "Map")
            visit.page.wait_for_selector("#told.bad")
            assert "map.json" in visit.status()
            chosen(visit, "Cost")
            visit.until("document.querySelector('#status').innerText.includes('cost.json')")
            chosen(visit, "Clusters")
            visit.until("document.querySelector('#status').innerText.includes('clusters.json')")
            assert visit.page.locator("#grid .cell").count() > 3
            assert visit.said == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1600])
    def test_axe_finds_nothing_serious(self, folder: Path, scheme: Any, width: int) -> None:
        axe = READER / "node_modules" / "axe-core" / "axe.min.js"
        if not axe.is_file():
            pytest.skip("axe is not installed: npm ci --prefix web/reader")
        options = {"color_scheme": scheme, "viewport": {"width": width, "height": 740}}
        with visited(folder, **options) as visit:
            page = visit.page
            page.evaluate(axe.read_text())
            chosen(visit, "Filter…")
            for name in ("Grid", "Map", "Clusters", "Duplicates", "Cost"):
                chosen(visit, name)
                inside = "#scroller" if name == "Grid" else "section:not([hidden])"
                page.wait_for_selector(f"{inside} {'table' if name == 'Cost' else '.cell img'}")
                found = page.evaluate("axe.run().then(one => one.violations)")
                grave = [one for one in found if one["impact"] in ("serious", "critical")]
                assert not grave, [(name, one["id"], one["nodes"][0]["html"]) for one in grave]
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def status(line: str) -> str:
    return f"document.querySelector('#status').innerText === {json.dumps(line)}"


def named(cells: str) -> str:
    return f"[...document.querySelectorAll('{cells}')].every(one => one.title)"
