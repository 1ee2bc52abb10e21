"""A sheet of groups as one picture: a row for each, the kept image first, what was told below."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kinpack.archive.duplicates.report import DuplicateReport, Group
from kinpack.errors import PayloadError, shown
from kinpack.pictures.images import Image, composite_on_white, load_image, to_pil

ROWS, COLUMNS = 40, 8
"""Most groups on a sheet, and images of each."""

_SIDE, _GAP, _LINE = 112, 8, 14  # pixels
_LETTER = 11
_LONGEST = 20  # characters of a caption
_COLOURS = {"kept": "#111111", "exact": "#0a7d32", "same": "#1456b8", "alike": "#a15c00"}


def draw_sheet(report: DuplicateReport, read: Callable[[str], Image]) -> Image:
    """Draw the first groups of a report.

    Args:
        report: with one group at least.
        read: gives an image by its id.

    Returns:
        uint8 (H, W, 3). An image that is damaged stays empty.
    """
    groups = report.groups[:ROWS]
    left = len(report.groups) - len(groups)
    width = min(COLUMNS, max(1 + len(group.others) for group in groups)) * (_SIDE + _GAP) + _GAP
    tall = _SIDE + 3 * _LINE + _GAP
    sheet = Pillow.new("RGB", (max(width, 3 * _SIDE), _GAP + len(groups) * tall + _LINE), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_LETTER)
    for row, group in enumerate(groups):
        top = _GAP + row * tall
        for column, (id_, band, lines) in enumerate(_cells(group)[:COLUMNS]):
            x = _GAP + column * (_SIDE + _GAP)
            try:
                small = _small(read(id_))
            except PayloadError:
                small = Pillow.new("RGB", (_SIDE, _SIDE), "#dddddd")
            sheet.paste(small, (x + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
            for number, text in enumerate(lines):
                place = x, top + _SIDE + number * _LINE
                draw.text(place, text, fill=_COLOURS[band], font=font)
    if left:
        place = _GAP, len(groups) * tall
        draw.text(place, f"and {left:,} groups more", fill="#111111", font=font)
    drawn: Image = np.asarray(sheet, np.uint8)
    return drawn


def _cells(group: Group) -> list[tuple[str, str, list[str]]]:
    """Id, band and lines below it, of each image of a group."""
    found = [(group.kept, "kept", [_short(group.kept), "kept"])]
    for one in group.others:
        told = one.band if one.band == "exact" else f"{one.band} {one.similarity:.2f}"
        found.append((one.id, one.band, [_short(one.id), told, _short(", ".join(one.changes))]))
    return found


def _short(text: str) -> str:
    """A text that fits below an image, its end kept: it tells files of a folder apart."""
    plain = shown(text)
    return plain if len(plain) <= _LONGEST else "…" + plain[1 - _LONGEST :]


def _small(image: Image) -> Pillow.Image:
    small = load_image(to_pil(image), size=_SIDE)
    return to_pil(composite_on_white(small)).convert("RGB")
