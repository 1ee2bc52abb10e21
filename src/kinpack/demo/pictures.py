"""Pictures that are drawn by chance, so that none need be carried: landscapes, cities and so on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from kinpack.pictures.images import Image
from kinpack.sources.items import Item

Colour: TypeAlias = tuple[int, int, int]
Painter: TypeAlias = Callable[["Canvas", np.random.Generator], None]

WIDTH, HEIGHT = 240, 160
_FINER = 2  # times as large they are drawn, and then reduced
_FIRST_DAY = date(2024, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Drawings:
    """A collection of drawn pictures; a ``Source``.

    Attributes:
        each: pictures of each kind.
        seed: of all chance.
        name: of the collection.
    """

    each: int = 24
    seed: int = 0
    name: str = "drawings"

    def __len__(self) -> int:
        return len(PAINTERS) * self.each + self._copies

    def __iter__(self) -> Iterator[Item]:
        for number, kind in enumerate(PAINTERS):
            for index in range(self.each):
                yield self._item(f"{kind}/{index:03}.png", kind, number * self.each + index)
        for index in range(self._copies):
            # Changed copies of the first ones, for whoever looks for duplicates.
            draw = partial(
                _changed, list(PAINTERS)[index % len(PAINTERS)], (self.seed, index), index
            )
            yield Item(f"copies/{index:03}.png", "copies", draw, columns=_columns(index))

    @property
    def _copies(self) -> int:
        return self.each // 4

    def _item(self, name: str, kind: str, number: int) -> Item:
        index = number % self.each
        return Item(name, kind, partial(draw, kind, (self.seed, index)), columns=_columns(number))


def _columns(number: int) -> dict[str, Any]:
    return {"number": number, "drawn": _FIRST_DAY + timedelta(days=number)}


def draw(kind: str, seed: tuple[int, int]) -> Image:
    """Draw a picture.

    Args:
        kind: one of `PAINTERS`.
        seed: of its chance; the same gives the same picture.

    Returns:
        uint8 (160, 240, 3).
    """
    canvas = Canvas()
    PAINTERS[kind](canvas, np.random.default_rng([*seed, *kind.encode()]))
    drawn: Image = canvas.finished()
    return drawn


def _changed(kind: str, seed: tuple[int, int], way: int) -> Image:
    """A picture mirrored, brighter or cut."""
    picture = Pillow.fromarray(draw(kind, seed))
    if way % 3 == 0:
        picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    elif way % 3 == 1:
        picture = picture.point([min(255, int(level * 1.2)) for level in range(256)] * 3)
    else:
        picture = picture.crop((12, 8, WIDTH - 12, HEIGHT - 8)).resize((WIDTH, HEIGHT))
    changed: Image = np.asarray(picture, np.uint8)
    return changed


class Canvas:
    """What painters draw on; places are shares of its width and height."""

    def __init__(self) -> None:
        self.across, self.down = WIDTH * _FINER, HEIGHT * _FINER
        self._picture = Pillow.new("RGB", (self.across, self.down))
        self.pen = ImageDraw.Draw(self._picture)

    def fade(self, top: Colour, bottom: Colour, first: float = 0, last: float = 1) -> None:
        """Fill a part from one height to another, one colour fading into the next."""
        rows = np.linspace(0, 1, max(1, round((last - first) * self.down)))[:, None]
        colours = np.array(top) * (1 - rows) + np.array(bottom) * rows
        band = np.broadcast_to(colours[:, None, :], (len(rows), self.across, 3))
        self._picture.paste(Pillow.fromarray(band.astype(np.uint8)), (0, round(first * self.down)))

    def land(self, heights: np.ndarray, colour: Colour) -> None:
        """Fill what lies below a line of heights."""
        xs = np.linspace(0, self.across, len(heights))
        line = list(zip(xs.tolist(), (heights * self.down).tolist(), strict=True))
        self.pen.polygon([*line, (self.across, self.down), (0, self.down)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a disc, its radius a share of the height."""
        r, x, y = radius * self.down, x * self.across, y * self.down
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Draw a box from its upper left corner on."""
        left, top = x * self.across, y * self.down
        right, bottom = left + width * self.across, top + height * self.down
        self.pen.rectangle((left, top, right, bottom), fill=colour)

    def finished(self) -> Image:
        """The picture, slightly softened: uint8 (160, 240, 3)."""
        soft = self._picture.filter(ImageFilter.GaussianBlur(0.6))
        small: Image = np.asarray(soft.resize((WIDTH, HEIGHT), Pillow.Resampling.BOX), np.uint8)
        return small


def _colour(rng: np.random.Generator, hue: float, strength: float, light: float) -> Colour:
    """A colour of about such a hue (0 to 1), strength and lightness."""
    hue, light = (hue + rng.normal(0, 0.025)) % 1, min(1, max(0.05, light + rng.normal(0, 0.05)))
    waves = [0.5 + 0.5 * math.cos(2 * math.pi * (hue - shift)) for shift in (0, 1 / 3, 2 / 3)]
    red, green, blue = (round(255 * light * (1 - strength * (1 - wave))) for wave in waves)
    return red, green, blue


def _ridge(rng: np.random.Generator, base: float, height: float, points: int = 97) -> np.ndarray:
    """A line of hills: heights (points,), 0 at the top of the picture."""
    x = np.linspace(0, 1, points)
    line = np.full(points, base)
    for octave in range(1, 6):
        phase, rate = rng.uniform(0, 6.3), rng.uniform(0.7, 1.4) * 3 * octave
        line += height / octave**1.3 * np.sin(rate * x * 2 + phase)
    return line


def _hills(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade(_colour(rng, 0.6, 0.5, 0.9), _colour(rng, 0.12, 0.2, 1.0))
    canvas.disc(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.35), 0.06, _colour(rng, 0.13, 0.4, 1.0))
    for layer in range(4):
        shade = 0.75 - 0.15 * layer
        canvas.land(_ridge(rng, 0.45 + 0.13 * layer, 0.06), _colour(rng, 0.36, 0.5, shade))


def _sea(canvas: Canvas, rng: np.random.Generator) -> None:
    horizon = rng.uniform(0.35, 0.6)
    warm = rng.uniform() < 0.5
    sky = _colour(rng, 0.05 if warm else 0.58, 0.55, 0.95)
    canvas.fade(_colour(rng, 0.62, 0.5, 0.75), sky, 0, horizon)
    canvas.disc(rng.uniform(0.2, 0.8), horizon - 0.04, 0.09, _colour(rng, 0.12, 0.5, 1.0))
    canvas.fade(_colour(rng, 0.55, 0.6, 0.7), _colour(rng, 0.6, 0.8, 0.3), horizon, 1)
    for _ in range(60):
        y = rng.uniform(horizon, 1)
        canvas.box(
            rng.uniform(), y, 0.12 * (y - horizon) + 0.02, 0.006, _colour(rng, 0.55, 0.2, 0.9)
        )
    x, y = rng.uniform(0.2, 0.8), horizon + rng.uniform(0.05, 0.2)
    w, h = canvas.across, canvas.down
    canvas.pen.polygon(
        [(x * w, y * h), (x * w, (y - 0.3) * h), ((x + 0.12) * w, y * h)], fill="white"
    )
    canvas.pen.rectangle(
        ((x - 0.06) * w, y * h, (x + 0.13) * w, (y + 0.03) * h), fill=(120, 60, 40)
    )


def _city(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade(_colour(rng, 0.6, 0.4, 0.85), _colour(rng, 0.08, 0.3, 0.95))
    for layer, shade in enumerate((0.65, 0.4)):
        x = 0.0
        while x < 1:
            width, height = rng.uniform(0.05, 0.13), rng.uniform(0.25, 0.75 - 0.15 * layer)
            canvas.box(x, 1 - height, width, height, _colour(rng, 0.62, 0.15, shade))
            for row in range(int(height / 0.05)):
                for column in range(int(width / 0.02)):
                    if rng.uniform() < 0.5:
                        place = x + 0.005 + 0.02 * column, 1 - height + 0.02 + 0.05 * row
                        canvas.box(*place, 0.009, 0.022, _colour(rng, 0.14, 0.4, 0.95))
            x += width + rng.uniform(0, 0.02)


def _night(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade((6, 8, 26), _colour(rng, 0.68, 0.6, 0.35))
    for _ in range(130):
        canvas.disc(rng.uniform(), rng.uniform(0, 0.8), rng.uniform(0.002, 0.006), (250, 250, 235))
    x, y, radius = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.4), rng.uniform(0.08, 0.14)
    canvas.disc(x, y, radius, (244, 240, 214))
    canvas.disc(x + 0.04, y - 0.03, radius * 0.95, (14, 16, 44))
    canvas.land(_ridge(rng, 0.86, 0.04), (8, 12, 18))


def _balloons(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade(_colour(rng, 0.57, 0.55, 0.95), _colour(rng, 0.55, 0.12, 1.0))
    for _ in range(int(rng.integers(3, 8))):
        x, y, radius = rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.7), rng.uniform(0.06, 0.15)
        hue = rng.uniform()
        canvas.disc(x, y, radius, _colour(rng, hue, 0.8, 0.95))
        for part in (0.7, 0.35):
            r, h = radius * canvas.down, part * radius * canvas.down
            middle = x * canvas.across, y * canvas.down
            edge = (middle[0] - h, middle[1] - r, middle[0] + h, middle[1] + r)
            canvas.pen.ellipse(edge, fill=_colour(rng, hue + 0.1 * part, 0.7, 0.6 + 0.5 * part))
        canvas.box(x - 0.012, y + radius * 1.25, 0.024, 0.035, (120, 80, 40))


def _forest(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade(_colour(rng, 0.4, 0.2, 0.95), _colour(rng, 0.3, 0.4, 0.7))
    for row in range(3):
        for x in np.sort(rng.uniform(-0.05, 1.05, 13)):
            foot, tall = 0.6 + 0.17 * row, rng.uniform(0.25, 0.5)
            colour = _colour(rng, 0.37, 0.7, 0.55 - 0.12 * row)
            canvas.box(x - 0.006, foot - 0.03, 0.012, 0.09, (82, 58, 40))
            for part in range(3):
                top, wide = foot - tall * (0.45 + 0.275 * part), 0.055 - 0.013 * part
                low = top + tall * 0.45
                w, h = canvas.across, canvas.down
                corners = [(x * w, top * h), ((x + wide) * w, low * h), ((x - wide) * w, low * h)]
                canvas.pen.polygon(corners, fill=colour)


def _flowers(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.fade(_colour(rng, 0.3, 0.5, 0.75), _colour(rng, 0.33, 0.7, 0.4))
    hue = rng.uniform()
    for _ in range(int(rng.integers(5, 11))):
        x, y, radius = rng.uniform(), rng.uniform(0.1, 0.9), rng.uniform(0.04, 0.1)
        petals, turn = int(rng.integers(5, 9)), rng.uniform(0, 6)
        colour = _colour(rng, hue, 0.7, 1.0)
        for petal in range(petals):
            angle = turn + 2 * math.pi * petal / petals
            dx, dy = math.cos(angle) * radius / 1.5, math.sin(angle) * radius
            canvas.disc(x + dx, y + dy, radius * 0.62, colour)
        canvas.disc(x, y, radius * 0.55, _colour(rng, 0.13, 0.8, 0.95))


def _quilts(canvas: Canvas, rng: np.random.Generator) -> None:
    across, down = int(rng.integers(5, 10)), int(rng.integers(4, 7))
    hue = rng.uniform()
    for row in range(down):
        for column in range(across):
            x, y = column / across, row / down
            near = _colour(rng, hue + 0.25 * ((row + column) % 2), 0.6, 0.85)
            canvas.box(x, y, 1 / across, 1 / down, near)
            if (row * 2 + column) % 3 == 0:
                canvas.disc(
                    x + 0.5 / across, y + 0.5 / down, 0.3 / down, _colour(rng, hue + 0.5, 0.6, 0.9)
                )


PAINTERS: dict[str, Painter] = {
    "balloons": _balloons,
    "city": _city,
    "flowers": _flowers,
    "forest": _forest,
    "hills": _hills,
    "night": _night,
    "quilts": _quilts,
    "sea": _sea,
}
"""What draws pictures, by the kinds of these."""
