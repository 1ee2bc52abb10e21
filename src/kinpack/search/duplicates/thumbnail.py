"""Thumbnails: what is kept of a drawn picture while others are compared with it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.pictures.images import Image, composite_on_white, to_pil
from kinpack.search.comparison.pattern import FINE, reduced


class Thumbnail(NamedTuple):
    """A picture, reduced: 16 kB, whatever its size.

    Attributes:
        levels: uint8 (FINE, FINE), what ``reduced`` makes of it.
        colours: uint8 (FINE, FINE, 3), likewise in RGB.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        channels: of the picture.
        digest: of its pixels; equal pictures alone have the same.
    """

    levels: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    width: int
    height: int
    channels: int
    digest: bytes

    @classmethod
    def of(cls, image: Image) -> Thumbnail:
        """The thumbnail of a picture, uint8 (H, W, C)."""
        height, width, channels = image.shape
        digest = hashlib.sha256(f"{height} {width} {channels} ".encode())
        digest.update(image.tobytes())
        small = to_pil(image).resize((FINE, FINE), Pillow.Resampling.HAMMING, reducing_gap=2.0)
        if channels == 4:
            small = to_pil(composite_on_white(np.asarray(small, np.uint8)))
        return cls(
            reduced(image).astype(np.uint8),
            np.asarray(small.convert("RGB"), np.uint8),
            width,
            height,
            channels,
            digest.digest(),
        )

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height
