"""Changes that copies of a picture commonly go through: what thresholds are measured with."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from kinpack.pictures.images import Image, composite_on_white, to_pil

Change: TypeAlias = Callable[[Pillow.Image], Pillow.Image]


TURNED = frozenset({"mirrored", "turned"})
"""The changes after which a picture has another code altogether."""


def copies(image: Image, *, turned: bool = True) -> dict[str, Image]:
    """Changed copies of a picture, by what was changed.

    Args:
        image: uint8 (H, W, C); alpha is laid on white.
        turned: whether mirrored and turned ones are among them.
    """
    picture = to_pil(composite_on_white(image) if image.shape[2] == 4 else image)
    return {
        name: _as_image(change(picture))
        for name, change in _CHANGES.items()
        if turned or name not in TURNED
    }


def _as_image(picture: Pillow.Image) -> Image:
    levels = np.asarray(picture, np.uint8)
    return np.ascontiguousarray(levels[:, :, None] if levels.ndim == 2 else levels)


def _halved(picture: Pillow.Image) -> Pillow.Image:
    width, height = (max(1, round(side / 2)) for side in picture.size)
    return picture.resize((width, height), Pillow.Resampling.LANCZOS)


def _re_encoded(picture: Pillow.Image) -> Pillow.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Pillow.open(file)


def _curve(power: float) -> Change:
    table = np.rint(255 * (np.arange(256) / 255) ** power).astype(int).tolist()
    return lambda picture: picture.point(table * len(picture.getbands()))


def _cropped(left: float, top: float, right: float, bottom: float) -> Change:
    def change(picture: Pillow.Image) -> Pillow.Image:
        width, height = picture.size
        x, y = round(left * width), round(top * height)
        ends = max(x + 1, round((1 - right) * width)), max(y + 1, round((1 - bottom) * height))
        return picture.crop((x, y, *ends))

    return change


def _framed(picture: Pillow.Image) -> Pillow.Image:
    width, height = picture.size
    bar = round(0.1 * height)
    framed = Pillow.new(picture.mode, (width, height + 2 * bar))
    framed.paste(picture, (0, bar))
    return framed


_CHANGES: dict[str, Change] = {
    "resized": _halved,
    "re-encoded": _re_encoded,
    "darker": _curve(1.4),
    "brighter": _curve(0.7),
    "in grey": lambda picture: picture.convert("L"),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1.5)),
    "mirrored": lambda picture: picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda picture: picture.transpose(Pillow.Transpose.ROTATE_90),
    "cropped": _cropped(0.06, 0.06, 0.06, 0.06),
    "cropped at a corner": _cropped(0.1, 0.1, 0, 0),
    "tilted": lambda picture: picture.rotate(4, Pillow.Resampling.BICUBIC),
    "framed": _framed,
}
