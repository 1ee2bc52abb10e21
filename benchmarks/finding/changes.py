"""The 26 changes that a picture found again has gone through: sizes, tones, damage, framing, turns.

Each is a function of an image and a generator of random numbers, which the noise alone asks.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageEnhance, ImageFilter, ImageFont

from kinpack.pictures.images import Image, composite_on_white, to_pil

Change: TypeAlias = Callable[[Pillow.Image, np.random.Generator], Pillow.Image]
"""Makes a changed picture, mode L or RGB, of one."""

BLACK: dict[str, int | tuple[int, ...]] = {"L": 0, "RGB": (0, 0, 0)}
CAPTION = "THE QUICK BROWN FOX"


def changed(name: str, image: Image, rng: np.random.Generator) -> Image:
    """An image after one of the changes.

    Args:
        name: of the change, as in `CHANGES`.
        image: uint8 (H, W, C); one with alpha is laid over white first.
        rng: draws the noise.

    Returns:
        uint8 (H', W', C'), C' = 1 or 3.
    """
    picture = to_pil(image if image.shape[2] == 1 else composite_on_white(image))
    levels: NDArray[np.uint8] = np.asarray(CHANGES[name](picture, rng), np.uint8)
    return np.ascontiguousarray(levels[:, :, None] if levels.ndim == 2 else levels)


def _resized(share: float) -> Change:
    def change(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
        size = [max(1, round(side * share)) for side in picture.size]
        return picture.resize((size[0], size[1]), Pillow.Resampling.LANCZOS)

    return change


def _jpeg(quality: int) -> Change:
    def change(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Pillow.open(file)

    return change


def _levels(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    table = np.rint(255 * curve(np.arange(256) / 255)).clip(0, 255).astype(int).tolist()

    def change(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
        return picture.point(table * len(picture.getbands()))

    return change


def _contrast(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
    return ImageEnhance.Contrast(picture).enhance(1.4)


def _saturation(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
    return ImageEnhance.Color(picture).enhance(1.5) if picture.mode == "RGB" else picture


def _noise(picture: Pillow.Image, rng: np.random.Generator) -> Pillow.Image:
    levels = np.asarray(picture, np.float64)
    return Pillow.fromarray(
        (levels + rng.normal(0, 15, levels.shape)).clip(0, 255).astype(np.uint8)
    )


def _bar(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
    """A black bar with white text over the lower tenth."""
    picture = picture.copy()
    width, height = picture.size
    top = round(0.9 * height)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, top, width, height], fill=BLACK[picture.mode])
    font = ImageFont.load_default(max(1.0, 0.7 * (height - top)))
    white = 255 if picture.mode == "L" else (255, 255, 255)
    draw.text((0.04 * width, top), CAPTION, fill=white, font=font)
    return picture


def _transposed(method: Pillow.Transpose) -> Change:
    return lambda picture, _: picture.transpose(method)


def _cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """What is left of the shares of each side that are cut off."""

    def change(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
        width, height = picture.size
        x, y = round(left * width), round(top * height)
        return picture.crop(
            (x, y, max(x + 1, round((1 - right) * width)), max(y + 1, round((1 - bottom) * height)))
        )

    return change


def _centre(share: float) -> Change:
    return _cropped(share / 2, share / 2, share / 2, share / 2)


def _turned(degrees: float) -> Change:
    def change(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
        return picture.rotate(degrees, Pillow.Resampling.BICUBIC)

    return change


def _square(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
    side = min(picture.size)
    return picture.resize((side, side), Pillow.Resampling.LANCZOS)


def _black_bars(picture: Pillow.Image, _: np.random.Generator) -> Pillow.Image:
    """Bars of 12 % of the height above and below the whole picture."""
    width, height = picture.size
    bar = round(0.12 * height)
    framed = Pillow.new(picture.mode, (width, height + 2 * bar), BLACK[picture.mode])
    framed.paste(picture, (0, bar))
    return framed


CHANGES: dict[str, Change] = {
    "same": lambda picture, _: picture,
    "resized 0.5": _resized(0.5),
    "resized 0.2": _resized(0.2),
    "JPEG q40": _jpeg(40),
    "JPEG q10": _jpeg(10),
    "brightness +20 %": _levels(lambda x: 1.2 * x),
    "brightness −20 %": _levels(lambda x: 0.8 * x),
    "gamma 0.6": _levels(lambda x: x**0.6),
    "contrast +40 %": _contrast,
    "grey": lambda picture, _: picture.convert("L"),
    "saturation +50 %": _saturation,
    "blur 2": lambda picture, _: picture.filter(ImageFilter.GaussianBlur(2)),
    "noise 15": _noise,
    "bar with text": _bar,
    "mirror": _transposed(Pillow.Transpose.FLIP_LEFT_RIGHT),
    "upside down": _transposed(Pillow.Transpose.ROTATE_180),
    "quarter turn": _transposed(Pillow.Transpose.ROTATE_90),
    "crop 10 %": _centre(0.1),
    "crop 20 %": _centre(0.2),
    "crop 40 %": _centre(0.4),
    "crop 10 % off a corner": _cropped(0.1, 0.1, 0, 0),
    "turned 2°": _turned(2),
    "turned 5°": _turned(5),
    "turned 10°": _turned(10),
    "square": _square,
    "black bars 12 %": _black_bars,
}
"""The changes by their names, in the order of tables."""
