"""Rendered pictures for learning a codec: text, screens, drawings, and smooth pictures.

Each is drawn from a number alone, so that the same number gives the same picture where the fonts
are the same. Text needs a folder of TrueType fonts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kinpack.errors import SourceError
from kinpack.pictures.images import Image

TEXT = """
the of and to in a is that for it as was with be by on not he his but at are this have from or
had an they which one you were all her she there would their we him been has when who will no
more if out so up said what its about than into them can only other time new some could these
two may first then do any like my now over such our man me even most made after also did many
off before must well back
"""
WORDS = TEXT.split()
MARKS = [*"0123456789", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
LIGHT, DARK = (215, 256), (0, 70)
"""Ranges of levels of paper and of ink."""


def fonts_in(folder: Path) -> list[Path]:
    """TrueType fonts in a folder that have Latin letters, in the order of their names.

    Raises:
        SourceError: there is none.
    """
    found = [path for path in sorted(folder.rglob("*.ttf")) if _is_latin(path)]
    if not found:
        raise SourceError(f"{folder}: no .ttf font; name a folder that holds some")
    return found


def _is_latin(path: Path) -> bool:
    """Whether a font draws letters, and not the same empty box for each."""
    font = ImageFont.truetype(str(path), 16)
    return bytes(font.getmask("a")) != bytes(font.getmask("k"))


def rendered(number: int, side: int, fonts: Sequence[Path]) -> Image:
    """One picture of text, of a screen or of a drawing.

    Args:
        number: which one.
        side: of the picture, in pixels.
        fonts: files to choose from.

    Returns:
        uint8 (side, side, 3).
    """
    rng = np.random.default_rng((number, 1))
    kinds: tuple[Callable[..., None], ...] = (_page, _screen, _form, _drawing, _chart)
    paper = _colour(rng, LIGHT if rng.random() < 0.8 else DARK, grey=rng.random() < 0.6)
    canvas = Pillow.new("RGB", (side, side), paper)
    kinds[int(rng.integers(len(kinds)))](ImageDraw.Draw(canvas), rng, side, fonts, paper)
    return np.asarray(canvas, dtype=np.uint8)


def smooth(number: int, side: int) -> Image:
    """One smooth picture: flat, a gradient, or soft clouds, grey or not, often with fine lines.

    Args:
        number: which one.
        side: of the picture, in pixels.

    Returns:
        uint8 (side, side, 3).
    """
    rng = np.random.default_rng((number, 2))
    kind = rng.random()
    if kind < 0.12:
        return np.full((side, side, 3), rng.integers(0, 256, size=3), dtype=np.uint8)
    grey = rng.random() < 0.6
    colours = rng.uniform(0, 255, size=(2, 3))
    if grey:
        colours[:] = colours[:, :1]
    share = _gradient(rng, side) if kind < 0.4 else _clouds(rng, side)
    picture = colours[0] + share[:, :, None] * (colours[1] - colours[0])
    if rng.random() < 0.5:
        _fine_lines(rng, picture)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(0.5, 3), size=(side, side, 1 if grey else 3))
        picture = picture + noise
    levels: Image = np.rint(picture).clip(0, 255).astype(np.uint8)
    return levels


def grey_surface(number: int, side: int) -> Image:
    """One grey surface as cameras over a production line see them: smooth, with fine lines.

    Args:
        number: which one.
        side: of the picture, in pixels.

    Returns:
        uint8 (side, side, 1).
    """
    rng = np.random.default_rng((number, 3))
    low, high = np.sort(rng.uniform(30, 220, size=2))
    share = _clouds(rng, side) if rng.random() < 0.6 else _gradient(rng, side)
    picture = (low + (high - low) * share)[:, :, None]
    _fine_lines(rng, picture)
    picture += rng.normal(0, rng.uniform(0.3, 1.5), size=picture.shape)
    levels: Image = np.rint(picture).clip(0, 255).astype(np.uint8)
    return levels


def flat(number: int, side: int) -> Image:
    """One flat colour, uint8 (side, side, 3)."""
    colour = np.random.default_rng((number, 4)).integers(0, 256, size=3)
    return np.full((side, side, 3), colour, dtype=np.uint8)


def gradient(number: int, side: int) -> Image:
    """One gradient between two colours, uint8 (side, side, 3)."""
    rng = np.random.default_rng((number, 5))
    start, end = rng.uniform(0, 255, size=(2, 3))
    picture = start + _gradient(rng, side)[:, :, None] * (end - start)
    levels: Image = np.rint(picture).clip(0, 255).astype(np.uint8)
    return levels


def _gradient(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Shares of 0 to 1, (side, side): along a line, or from a point outward."""
    down, across = np.mgrid[:side, :side] / side
    if rng.random() < 0.6:
        angle = rng.choice([0, np.pi / 2, rng.uniform(0, 2 * np.pi)])
        value = down * np.sin(angle) + across * np.cos(angle)
    else:
        value = np.hypot(down - rng.uniform(-0.2, 1.2), across - rng.uniform(-0.2, 1.2))
    value = value - value.min()
    shares: NDArray[np.float64] = (value / value.max()) ** rng.uniform(0.6, 1.6)
    return shares


def _clouds(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Noise whose power falls fast with frequency, within 0 to 1, (side, side)."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / frequency ** rng.uniform(1.6, 3)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(side, side))
    shares: NDArray[np.float64] = (field - field.min()) / (field.max() - field.min())
    return shares


def _fine_lines(rng: np.random.Generator, picture: NDArray[np.float64]) -> None:
    """Draw scratches, cracks or a grid into a picture (side, side, channels), in place."""
    side = len(picture)
    mask = Pillow.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    if rng.random() < 0.3:
        step = int(rng.integers(8, 48))
        for at in range(int(rng.integers(step)), side, step):
            draw.line([(at, 0), (at, side)], fill=255)
            draw.line([(0, at), (side, at)], fill=255)
    for _ in range(int(rng.integers(1, 12))):
        points = rng.uniform(0, side, size=2) + np.cumsum(
            rng.normal(0, side / 16, size=(int(rng.integers(2, 12)), 2)), axis=0
        )
        draw.line([(x, y) for x, y in points.tolist()], fill=255, width=int(rng.integers(1, 3)))
    strength = np.asarray(mask)[:, :, None] / 255 * rng.uniform(-90, 90)
    picture += strength


def _page(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    side: int,
    fonts: Sequence[Path],
    paper: tuple[int, ...],
) -> None:
    """Lines of text, in one size or with headings."""
    size = int(rng.integers(9, 22))
    margin, y = int(rng.integers(2, side // 8)), int(rng.integers(-size, side // 8))
    ink = _against(rng, paper)
    font = _font(rng, fonts, size)
    heading = _font(rng, fonts, int(size * rng.uniform(1.3, 2.5)))
    while y < side:
        big = rng.random() < 0.1
        words = _words(rng, 2 if big else int(rng.integers(6, 30)))
        draw.text((margin, y), words, fill=ink, font=heading if big else font)
        y += int(size * (2.6 if big else 1.35)) + (size if rng.random() < 0.12 else 0)


def _screen(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    side: int,
    fonts: Sequence[Path],
    paper: tuple[int, ...],
) -> None:
    """Windows with bars, buttons, lists and icons."""
    font = _font(rng, fonts, int(rng.integers(9, 15)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.integers(-side // 4, side * 3 // 4, size=2).tolist()
        w, h = rng.integers(side // 3, side, size=2).tolist()
        body = _colour(rng, LIGHT if rng.random() < 0.75 else DARK, grey=True)
        draw.rectangle([x, y, x + w, y + h], fill=body, outline=_colour(rng, (90, 200), grey=True))
        bar = _colour(rng, (30, 230), grey=rng.random() < 0.4)
        draw.rectangle([x, y, x + w, y + 18], fill=bar)
        draw.text((x + 6, y + 2), _words(rng, 3), fill=_against(rng, bar), font=font)
        ink = _against(rng, body)
        for row in range(y + 24, y + h - 14, int(rng.integers(15, 30))):
            if rng.random() < 0.4:
                fill = _colour(rng, (0, 256), grey=False)
                draw.ellipse([x + 6, row, x + 16, row + 10], fill=fill)
            if rng.random() < 0.3:
                fill = _colour(rng, (120, 250), grey=rng.random() < 0.5)
                right = x + 24 + int(rng.integers(30, 110))
                draw.rounded_rectangle([x + 20, row - 2, right, row + 13], 4, fill=fill)
                draw.text((x + 26, row), _words(rng, 1), fill=_against(rng, fill), font=font)
            else:
                draw.text((x + 22, row), _words(rng, int(rng.integers(1, 7))), fill=ink, font=font)


def _form(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    side: int,
    fonts: Sequence[Path],
    paper: tuple[int, ...],
) -> None:
    """A table with ruled lines."""
    ink = _against(rng, paper)
    font = _font(rng, fonts, int(rng.integers(8, 16)))
    height, width = int(rng.integers(14, 34)), int(rng.integers(40, 130))
    left, top = rng.integers(0, 24, size=2).tolist()
    for y in range(top, side, height):
        draw.line([(left, y), (side, y)], fill=ink, width=int(rng.integers(1, 2)))
        for x in range(left, side, width):
            if rng.random() < 0.7:
                text = _words(rng, 1) if rng.random() < 0.5 else _figures(rng)
                draw.text((x + 3, y + 2), text, fill=ink, font=font)
    for x in range(left, side, width):
        draw.line([(x, top), (x, side)], fill=ink)


def _drawing(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    side: int,
    fonts: Sequence[Path],
    paper: tuple[int, ...],
) -> None:
    """Flat shapes and strokes."""
    for _ in range(int(rng.integers(3, 25))):
        fill = _colour(rng, (0, 256), grey=rng.random() < 0.3)
        outline = _against(rng, paper) if rng.random() < 0.4 else None
        (x, y), size = rng.uniform(0, side, size=2).tolist(), rng.uniform(side / 24, side / 2.5)
        kind = rng.random()
        if kind < 0.3:
            draw.ellipse([x, y, x + size, y + size * rng.uniform(0.4, 1)], fill, outline)
        elif kind < 0.5:
            draw.rectangle([x, y, x + size, y + size * rng.uniform(0.2, 1)], fill, outline)
        elif kind < 0.75:
            around = rng.uniform(-size / 2, size / 2, size=(int(rng.integers(3, 8)), 2))
            corners = around + np.array([x, y])
            draw.polygon([(a, b) for a, b in corners.tolist()], fill, outline)
        else:
            t = np.linspace(0, 1, 24)[:, None]
            a, b, c = rng.uniform(0, side, size=(3, 2))
            curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
            points = [(p, q) for p, q in curve.tolist()]
            draw.line(points, fill=fill, width=int(rng.integers(1, 7)), joint="curve")


def _chart(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    side: int,
    fonts: Sequence[Path],
    paper: tuple[int, ...],
) -> None:
    """Bars or lines over axes with figures."""
    ink, font = _against(rng, paper), _font(rng, fonts, int(rng.integers(8, 14)))
    left, base = side // 8, side - side // 8
    for k in range(6):
        y = base - k * side // 8
        draw.line([(left, y), (side, y)], fill=_colour(rng, (170, 220), grey=True))
        draw.text((2, y - 6), _figures(rng), fill=ink, font=font)
    draw.line([(left, 0), (left, base), (side, base)], fill=ink)
    if rng.random() < 0.5:
        step = int(rng.integers(12, 48))
        fill = _colour(rng, (0, 230), grey=False)
        for x in range(left + 6, side, step):
            top = base - rng.uniform(0.05, 0.85) * base
            draw.rectangle([x, top, x + step * 0.7, base], fill=fill)
        return
    across = np.linspace(left, side, 40)
    for _ in range(int(rng.integers(1, 5))):
        down = base * (0.5 + np.cumsum(rng.normal(0, 0.05, size=len(across)))).clip(0.02, 0.98)
        fill = _colour(rng, (0, 230), grey=False)
        points = list(zip(across.tolist(), down.tolist(), strict=True))
        draw.line(points, fill=fill, width=int(rng.integers(1, 4)))


def _font(rng: np.random.Generator, fonts: Sequence[Path], size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), size)


def _words(rng: np.random.Generator, count: int) -> str:
    return " ".join(WORDS[i] for i in rng.integers(len(WORDS), size=count)).capitalize()


def _figures(rng: np.random.Generator) -> str:
    return "".join(MARKS[i] for i in rng.integers(10, size=int(rng.integers(1, 6))))


def _colour(rng: np.random.Generator, span: tuple[int, int], *, grey: bool) -> tuple[int, int, int]:
    r, g, b = rng.integers(*span, size=3).tolist()
    return (r, r, r) if grey else (r, g, b)


def _against(rng: np.random.Generator, ground: tuple[int, ...]) -> tuple[int, int, int]:
    """A colour that can be read on a ground."""
    return _colour(rng, DARK if sum(ground) > 384 else LIGHT, grey=rng.random() < 0.7)
