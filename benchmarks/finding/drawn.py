"""Pictures that are drawn from a number alone: pages of text, and grey cells of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from benchmarks.lattice.rendered_pictures import WORDS
from kinpack.pictures.images import Image, load_image

PAGE = (595, 842)
"""Width and height of a page, A4 at 72 dots an inch."""
CELL = 300
"""Side of a cell, in pixels."""


def page(number: int, fonts: Sequence[Path], longest: int) -> Image:
    """A page of text: a heading, paragraphs in one or two columns, now and then a table or a box.

    Args:
        number: which one.
        fonts: files to choose from.
        longest: side of what is returned, in pixels.

    Returns:
        uint8 (H, W, 3).
    """
    rng = np.random.default_rng((number, 3))
    canvas = Pillow.new("RGB", PAGE, (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    path = str(fonts[int(rng.integers(len(fonts)))])
    size = int(rng.integers(9, 13))
    body, bold = ImageFont.truetype(path, size), ImageFont.truetype(path, 2 * size)
    margin = int(rng.integers(45, 75))
    draw.text((margin, margin), _sentence(rng, int(rng.integers(2, 6))), fill=0, font=bold)
    columns = 1 if rng.random() < 0.6 else 2
    width = (PAGE[0] - 2 * margin - 20 * (columns - 1)) // columns
    for column in range(columns):
        left, y = margin + column * (width + 20), margin + 3 * size
        while y < PAGE[1] - margin - 2 * size:
            kind = rng.random()
            if kind < 0.08:
                y = _table(draw, rng, (left, y), width, body)
            elif kind < 0.14:
                height = int(rng.integers(30, 120))
                shade = int(rng.integers(120, 235))
                draw.rectangle([left, y, left + width, y + height], fill=(shade, shade, shade))
                y += height + size
            else:
                y = _paragraph(draw, rng, (left, y), width, body)
    return load_image(canvas, size=longest)


def _paragraph(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    at: tuple[int, int],
    width: int,
    font: ImageFont.FreeTypeFont,
) -> int:
    """Draw words line by line; where the next piece begins."""
    left, y = at
    step = round(1.35 * font.size)
    x = left + step
    for _ in range(int(rng.integers(12, 90))):
        word = WORDS[int(rng.integers(len(WORDS)))] + " "
        length = draw.textlength(word, font)
        if x + length > left + width:
            x, y = left, y + step
        if y > PAGE[1] - 45:
            break
        draw.text((x, y), word, fill=0, font=font)
        x += round(length)
    return y + 2 * step


def _table(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    at: tuple[int, int],
    width: int,
    font: ImageFont.FreeTypeFont,
) -> int:
    """Draw ruled rows of figures; where the next piece begins."""
    left, y = at
    step, columns = round(1.7 * font.size), int(rng.integers(2, 6))
    for _ in range(int(rng.integers(3, 9))):
        draw.line([(left, y), (left + width, y)], fill=0)
        for column in range(columns):
            figure = str(int(rng.integers(10000)))
            draw.text((left + 4 + column * width // columns, y + 3), figure, fill=0, font=font)
        y += step
    return y + step


def _sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(WORDS[i] for i in rng.integers(len(WORDS), size=words)).capitalize()


def cell(number: int) -> Image:
    """A grey cell: bars across, fine lines, soft stains, darker edges, and often cracks.

    Args:
        number: which one.

    Returns:
        uint8 (CELL, CELL, 1).
    """
    rng = np.random.default_rng((number, 4))
    down, across = np.mgrid[:CELL, :CELL] / CELL
    light = (
        rng.uniform(110, 190)
        + 30 * rng.normal() * (across - 0.5)
        + 30 * rng.normal() * (down - 0.5)
    )
    light = light + rng.uniform(5, 28) * _stains(rng)
    edge = np.minimum(np.minimum(down, 1 - down), np.minimum(across, 1 - across))
    light = light * (1 - 0.5 * np.exp(-edge * CELL / rng.uniform(3, 12)))
    light = light * (1 - 0.04 * (np.arange(CELL) % int(rng.integers(3, 6)) == 0)[None, :])
    canvas = Pillow.fromarray(light.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    bars = int(rng.choice([2, 3, 3, 4]))
    for bar in range(bars):
        y = CELL * (2 * bar + 1) / (2 * bars) + rng.normal(0, 1.5)
        draw.rectangle([0, y - 3, CELL, y + 3], fill=int(rng.integers(30, 60)))
    for _ in range(int(rng.integers(0, 4))):
        place, angle = rng.uniform(0, CELL, 2), rng.uniform(0, 2 * np.pi)
        points = [tuple(place.tolist())]
        for _ in range(int(rng.integers(4, 25))):
            angle += rng.normal(0, 0.35)
            place = place + 9 * np.array([np.cos(angle), np.sin(angle)])
            points.append(tuple(place.tolist()))
        draw.line(points, fill=int(rng.integers(20, 80)), width=int(rng.integers(1, 3)))
    levels = np.asarray(canvas, np.float64) + rng.normal(0, rng.uniform(0.5, 3), (CELL, CELL))
    return np.rint(levels).clip(0, 255).astype(np.uint8)[:, :, None]


def _stains(rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose power falls with frequency, mean 0 and deviation 1, (CELL, CELL)."""
    frequency = np.hypot(np.fft.fftfreq(CELL)[:, None], np.fft.rfftfreq(CELL)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(CELL, CELL))) / frequency ** rng.uniform(1.2, 2.2)
    spectrum[0, 0] = 0
    field: NDArray[np.float64] = np.fft.irfft2(spectrum, s=(CELL, CELL))
    field /= field.std()
    return field
