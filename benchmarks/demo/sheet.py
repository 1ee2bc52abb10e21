"""The demo's contact sheet: queries with their kin, and originals beside what was decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PAPER = (250, 250, 248)
INK = (32, 33, 36)
FAINT = (120, 122, 128)
ACCENT = (14, 98, 168)
OTHER = (190, 70, 40)

MARGIN = 40
CELL = 128  # a thumbnail as drawn, twice its 64 pixels
GAP = 20
COLUMNS = 9  # a query and eight kin
PAIRS = 4  # originals and decoded in one line
CAPTION = 40  # two lines of small print below a thumbnail

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Kin:
    """A picture that a search found: the decoded picture, its id, label and squared distance."""

    image: Image.Image
    id: str
    label: str
    distance: float


@dataclass(frozen=True)
class Query:
    """A query as given, what it is called, the label it should find, and its kin, nearest first."""

    image: Image.Image
    name: str
    label: str
    kin: Sequence[Kin]


@dataclass(frozen=True)
class Pair:
    """An original, its decoded picture, the PSNR between them in dB, and the payload's bytes."""

    original: Image.Image
    decoded: Image.Image
    name: str
    psnr: float
    bytes: int


class Sheet:
    """A page that is drawn from top to bottom."""

    def __init__(self, height: int) -> None:
        self.width = 2 * MARGIN + COLUMNS * CELL + (COLUMNS - 1) * GAP
        self.page = Image.new("RGB", (self.width, height), PAPER)
        self.pen = ImageDraw.Draw(self.page)
        self.large = ImageFont.load_default(34)
        self.middle = ImageFont.load_default(20)
        self.small = ImageFont.load_default(13)
        self.y = MARGIN

    def text(self, x: float, y: float, text: str, font: Font, colour: tuple[int, int, int]) -> None:
        """Write one line with its upper left corner at (x, y)."""
        self.pen.text((x, y), text, font=font, fill=colour)

    def heading(self, title: str, line: str, *, large: bool = False) -> None:
        """A title with a line below it; moves the place of drawing down."""
        font = self.large if large else self.middle
        self.text(MARGIN, self.y, title, font, INK)
        self.y += 46 if large else 28
        self.text(MARGIN, self.y, line, self.small, FAINT)
        self.y += 34

    def thumbnail(self, x: int, image: Image.Image, frame: tuple[int, int, int] | None) -> None:
        """A picture at (x, the place of drawing), enlarged without smoothing its pixels."""
        drawn = image.convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
        if frame is not None:
            box = (x - 4, self.y - 4, x + CELL + 3, self.y + CELL + 3)
            self.pen.rectangle(box, outline=frame, width=3)
        self.page.paste(drawn, (x, self.y))

    def caption(self, x: int, first: str, second: str, colour: tuple[int, int, int]) -> None:
        """Two lines of small print below the picture at x."""
        self.text(x, self.y + CELL + 6, first, self.small, colour)
        self.text(x, self.y + CELL + 22, second, self.small, FAINT)

    def query(self, query: Query) -> None:
        """A line of the sheet: the query in a frame, then its kin."""
        self.thumbnail(MARGIN, query.image, ACCENT)
        self.caption(MARGIN, query.name, "query", ACCENT)
        for column, kin in enumerate(query.kin[: COLUMNS - 1], start=1):
            x = MARGIN + column * (CELL + GAP)
            self.thumbnail(x, kin.image, None)
            colour = INK if kin.label == query.label else OTHER
            self.caption(x, kin.id.removesuffix(".png"), f"distance {kin.distance:.3g}", colour)
        self.y += CELL + CAPTION + GAP

    def pairs(self, pairs: Sequence[Pair]) -> None:
        """A line of the sheet: originals beside what was decoded."""
        step = (self.width - 2 * MARGIN - 2 * CELL - 4) // (PAIRS - 1)
        for column, pair in enumerate(pairs):
            x = MARGIN + column * step
            self.thumbnail(x, pair.original, None)
            self.caption(x, pair.name.removesuffix(".png"), "original", INK)
            self.thumbnail(x + CELL + 4, pair.decoded, None)
            self.caption(x + CELL + 4, f"{pair.psnr:.1f} dB", f"{pair.bytes:,} bytes", INK)
        self.y += CELL + CAPTION + GAP


def draw_sheet(
    path: Path, title: str, line: str, queries: Sequence[Query], pairs: Sequence[Pair]
) -> None:
    """Write the contact sheet as a PNG.

    Args:
        path: the file to write.
        title: what the sheet shows.
        line: the numbers under the title.
        queries: one line of the sheet each; up to eight kin of each are drawn.
        pairs: four to a line of the sheet.
    """
    lines = [pairs[start : start + PAIRS] for start in range(0, len(pairs), PAIRS)]
    height = 2 * MARGIN + 80 + 2 * 62 + 24 + (len(queries) + len(lines)) * (CELL + CAPTION + GAP)
    sheet = Sheet(height)
    sheet.heading(title, line, large=True)
    sheet.heading(
        "Kin",
        "Each query (framed) and the pictures of the archive with the nearest product codes. "
        "The label is the photograph that a picture was cut from; another label is in red.",
    )
    for query in queries:
        sheet.query(query)
    sheet.y += 24
    sheet.heading(
        "Decoded",
        "Originals beside what the archive gives back, with the bytes of the payload. "
        "Each pixel is drawn as two by two.",
    )
    for row in lines:
        sheet.pairs(row)
    sheet.page.save(path, optimize=True)
