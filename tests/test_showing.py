"""Sheets and pages of what was found: they hold what they are given, as text, and nothing else."""

from __future__ import annotations

import base64
import io
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from kinpack.archive.showing.page import TILES, page
from kinpack.archive.showing.sheet import COLUMNS, STRIPS, draw_sheet
from kinpack.archive.showing.tiles import TONES, Strip, Tile, of_hits
from kinpack.errors import PayloadError
from kinpack.pictures.images import Image
from kinpack.search.hit import Hit

RED = np.full((30, 50, 3), (220, 20, 10), np.uint8)
CLEAR = np.zeros((20, 20, 4), np.uint8)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


def read(name: str) -> Image:
    if name == "broken":
        raise PayloadError("broken: damaged")
    return {"red": RED, "clear": CLEAR, "grey": RED[:, :, :1]}[name]


class Seen(HTMLParser):
    """Tags, texts and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown_by(*strips: Strip, title: str = "found") -> Seen:
    return Seen("".join(page(title, strips, read)))


@given(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3), st.sampled_from(sorted(TONES)))
def test_whatever_is_told_is_text(title: str, name: str, lines: list[str], tone: str) -> None:
    strip = Strip(name, [Tile("red", tuple(lines), tone)])
    seen, plain = shown_by(strip, title=title), shown_by(Strip("x", [Tile("red", ("x",) * 3)]))
    assert set(seen.tags) <= set(plain.tags)
    assert seen.attributes <= plain.attributes
    text = "".join(seen.texts)
    assert all(line in text for line in (title, name, *lines))


def test_a_page_needs_nothing_but_itself() -> None:
    text = "".join(page("t", [Strip("", [Tile("red", ("r",)), Tile("clear", ("c",))])], read))
    seen = Seen(text)
    assert [address.partition(";")[0] for address in seen.addresses] == [
        "data:image/png",
        "data:image/png",
    ]
    assert "script" not in seen.tags
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    for address in seen.addresses:
        data = base64.b64decode(address.partition(",")[2])
        assert Pillow.open(io.BytesIO(data)).mode in {"RGB", "RGBA"}


def test_damaged_images_are_told_and_others_stay() -> None:
    strip = Strip("", [Tile("broken", ("b",)), Tile("red", ("r",)), Tile("grey", ("g",))])
    seen = shown_by(strip)
    assert "damaged" in seen.texts
    assert seen.tags.count("img") == 2
    sheet = draw_sheet([strip], read)
    assert (sheet == np.array([220, 20, 10])).all(2).any()


def test_what_is_left_out_of_a_page_is_counted() -> None:
    many = Strip("", [Tile("broken", ("b",))] * (TILES + 5))
    seen = shown_by(many, Strip("last", [Tile("red", ("r",))]))
    assert seen.tags.count("figure") == TILES
    assert "and 6 more" in seen.texts


@pytest.mark.parametrize("count", [0, 1, COLUMNS, COLUMNS + 1, 3 * COLUMNS])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_sheet_grows_by_rows(count: int, wrapped: bool) -> None:
    strip = Strip("", [Tile("red", ("r", "s", "t", "left out"))] * count)
    heights = [draw_sheet([strip], read, wrapped=wrapped).shape[0]]
    heights += [draw_sheet([Strip("", strip.tiles[:1])] * n, read).shape[0] for n in (1, 2)]
    rows = max(1, -(-count // COLUMNS)) if wrapped else 1
    assert heights[0] - heights[1] == (rows - 1) * (heights[2] - heights[1])
    assert draw_sheet([Strip("t", strip.tiles)], read).dtype == np.uint8


def test_strips_beyond_a_sheet_are_left_out() -> None:
    strips = [Strip("", [Tile("red", ("r",))])] * (STRIPS + 3)
    assert draw_sheet(strips, read).shape == draw_sheet(strips[:STRIPS], read).shape


def test_hits_tell_what_is_known_of_them() -> None:
    hits = [
        Hit("a/1", "beach", 0.1, 0, 0.9, True, {"year": 2019, "camera": None}),
        Hit("a/2", None, 0.4, 1, 0.3),
    ]
    strip = of_hits("sought", [Tile(RED, ("q", "looked for"))], hits)
    assert [tile.picture if isinstance(tile.picture, str) else "" for tile in strip.tiles] == [
        "",
        "a/1",
        "a/2",
    ]
    assert strip.tiles[1].lines == ("a/1", "0.90", "beach", "year: 2019")
    assert strip.tiles[2].lines == ("a/2", "~0.30")
    assert escape("sought") in "".join(page("t", [strip], lambda _: RED))
