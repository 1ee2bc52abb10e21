"""What of a picture is compared: its pattern, which tone, light and contrast leave as it is."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.pictures.images import Image, composite_on_white, to_pil

FINE, COARSE = 64, 32
"""Sides of the squares that pictures are reduced to, in pixels."""

FAINT = 0.02
"""Weight of the plain levels beside the pattern: they alone tell pictures without one apart."""

_LIGHT = 2.0  # deviation of the Gaussian that tells light from pattern, in pixels
_AROUND = {FINE: 4.0, COARSE: 3.0}  # of the one that measures contrast
_FINEST = 1.0  # of the one that tells the finest details from others
_NOISE = 2.0  # levels: contrast below it is not raised
_SHARE = 0.3  # nor is any below this share of the picture's own


def reduced(image: Image) -> NDArray[np.float32]:
    """Squeeze a picture into a small square of grey levels.

    Args:
        image: uint8 (H, W, C); one with alpha is laid over white.

    Returns:
        float32 (FINE, FINE), levels 0 to 255.
    """
    picture = to_pil(image)
    if image.shape[2] == 4:
        picture = to_pil(composite_on_white(np.asarray(_squeezed(picture), np.uint8)))
    grey = picture if picture.mode == "L" else picture.convert("L")
    return np.asarray(_squeezed(grey), np.float32)


def _squeezed(picture: Pillow.Image) -> Pillow.Image:
    return picture.resize((FINE, FINE), Pillow.Resampling.HAMMING, reducing_gap=2.0)


def halved(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of two by two pixels of squares, (n, FINE, FINE) to (n, COARSE, COARSE)."""
    pairs = levels.reshape(len(levels), COARSE, 2, COARSE, 2)
    means: NDArray[np.float32] = pairs.mean(axis=(2, 4))
    return means


def patterns(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take light away, and bring contrast to the same everywhere.

    Args:
        levels: float32 (n, S, S), S = FINE or COARSE.

    Returns:
        float32 (n, S, S), about 1 in square where there is contrast, 0 where there is none.
    """
    side = levels.shape[-1]
    light, around = _gaussian(side, _LIGHT), _gaussian(side, _AROUND[side])
    detail = levels - light @ levels @ light.T
    square = around @ (detail * detail) @ around.T
    share = _SHARE * np.abs(detail).mean(axis=(1, 2), keepdims=True)
    result: NDArray[np.float32] = detail / np.sqrt(square + _NOISE**2 + share**2)
    return result


@cache
def _gaussian(side: int, deviation: float) -> NDArray[np.float32]:
    """The matrix (side, side) that blurs a column of pixels, at the edges by what is there."""
    place = np.arange(side)
    weight = np.exp(-np.square(place[:, None] - place) / (2 * deviation**2))
    matrix: NDArray[np.float32] = weight / weight.sum(axis=1, keepdims=True)
    return matrix.astype(np.float32)


def softened(levels: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """Blur squares by a Gaussian.

    Args:
        levels: float32 (n, S, S).
        deviation: of the Gaussian, in pixels.
    """
    blur = _gaussian(levels.shape[-1], deviation)
    return np.asarray(blur @ levels @ blur.T, np.float32)


def sharpness(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the finest details in all, which neither tone nor contrast change.

    Args:
        levels: float32 (n, S, S).

    Returns:
        float32 (n,), 0 for flat squares.
    """
    finest, fine = (
        np.abs(levels - softened(levels, by)).mean((1, 2)) for by in (_FINEST, _AROUND[FINE])
    )
    return np.asarray(finest / np.maximum(fine, 1e-6), np.float32)


FACES = 8
"""Ways to lay a square: 0 as it is, 1 mirrored, then upside down and turned, mirrored or not."""


def laid(squares: NDArray[np.float32], face: int) -> NDArray[np.float32]:
    """A view of squares (n, S, S), laid in one of the ways that there are."""
    turned = squares.swapaxes(1, 2) if face >= FACES // 2 else squares
    down, right = _DIRECTIONS[face % (FACES // 2)]
    return turned[:, ::down, ::right]


_DIRECTIONS = ((1, 1), (1, -1), (-1, -1), (-1, 1))
