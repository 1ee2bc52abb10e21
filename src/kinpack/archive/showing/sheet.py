"""A sheet: strips of tiles as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kinpack.archive.showing.tiles import TONES, Read, Strip, Tile, paste
from kinpack.pictures.images import Image

STRIPS, COLUMNS = 40, 8
"""Most strips on a sheet, and tiles side by side."""
ROWS = 25
"""Most rows of tiles of one strip."""

_SIDE, _GAP, _LINE = 112, 8, 14  # pixels
_LINES = 3
_LETTER = 11
_LONGEST = 17  # characters of a caption


def draw_sheet(strips: Sequence[Strip], read: Read, *, wrapped: bool = False) -> Image:
    """Draw strips one below the other.

    Args:
        strips: what to draw; the first ``STRIPS`` are, and what is left out is told.
        read: gives an image by its id.
        wrapped: whether a strip goes on in further rows; else its first ``COLUMNS`` tiles are
            drawn.

    Returns:
        uint8 (H, W, 3). An image that is damaged stays empty.
    """
    rows: list[tuple[str, Sequence[Tile]]] = []
    for strip in strips[:STRIPS]:
        most = COLUMNS * (ROWS if wrapped else 1)
        for start in range(0, max(1, min(most, len(strip.tiles))), COLUMNS):
            title = strip.title if start == 0 else ""
            rows.append((title, strip.tiles[start : start + COLUMNS]))
    widest = max((len(tiles) for _, tiles in rows), default=0)
    width = max(widest, 3) * (_SIDE + _GAP) + _GAP
    tall = [_SIDE + (_LINES + bool(title)) * _LINE + _GAP for title, _ in rows]
    sheet = Pillow.new("RGB", (width, _GAP + sum(tall) + _LINE), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_LETTER)
    top = _GAP
    for (title, tiles), height in zip(rows, tall, strict=True):
        line = top
        if title:
            draw.text((_GAP, line), _short(title, widest * _LONGEST), fill=_INK, font=font)
            line += _LINE
        for column, tile in enumerate(tiles):
            _draw_tile(sheet, draw, tile, read, (_GAP + column * (_SIDE + _GAP), line), font)
        top += height
    left = len(strips) - STRIPS
    if left > 0:
        draw.text((_GAP, top - _GAP // 2), f"and {left:,} more", fill=_INK, font=font)
    drawn: Image = np.asarray(sheet, np.uint8)
    return drawn


_INK = TONES["plain"]


def _draw_tile(
    sheet: Pillow.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    read: Read,
    place: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = place
    if not paste(sheet, place, tile, read, side=_SIDE):
        draw.rectangle((x, y, x + _SIDE - 1, y + _SIDE - 1), fill="#dddddd")
    for number, text in enumerate(tile.lines[:_LINES]):
        below = (x, y + _SIDE + number * _LINE)
        draw.text(below, _short(text, _LONGEST), fill=TONES[tile.tone], font=font)


def _short(text: str, longest: int) -> str:
    """A text that fits, its end kept: it tells files of a folder apart."""
    return text if len(text) <= longest else "…" + text[1 - longest :]
