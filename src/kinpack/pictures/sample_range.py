"""Grey of more than 8 bits: which samples are black and white, and how the others are rounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from kinpack.errors import ImageError
from kinpack.pictures.files.tiff import stated_range, white_is_zero
from kinpack.pictures.reading import SampleRange

_STRIP = 1 << 20  # pixels
_FLOATS = (1.0, 255.0, 65535.0)
# Not 10 or 14 bits: of one camera's pictures a dark one would then look as bright as the others.
_WHOLE = (255.0, 4095.0, 65535.0)
_SCALED = ("JPEG2000", "PPM", "JXL")  # whose decoders give all 16 bits, whatever the file has


def range_of(
    picture: PIL.Image.Image, asked: SampleRange, where: str
) -> tuple[float, float] | None:
    """Find the samples of a picture that become black and white.

    Args:
        picture: loaded, of any mode.
        asked: the range, or ``auto``: what the file states, else the least usual range that holds
            all samples, else from the least to the greatest.
        where: what error messages call it.

    Returns:
        What is black and what is white; ``None`` where a picture has 8 bits or fewer.

    Raises:
        ImageError: a sample is no number, and no range is given.
    """
    if not picture.mode.startswith(("I", "F")):
        return None
    low, high = _found(picture, where) if asked == "auto" else asked
    return (high, low) if white_is_zero(picture) else (low, high)


def _found(picture: PIL.Image.Image, where: str) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for samples in _strips(picture):
        low, high = min(low, float(samples.min())), max(high, float(samples.max()))
        if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(samples).all()):
            raise ImageError(
                f"{where}: some samples are no numbers; give their range (--range), or save it "
                "with 8 or 16 bits a sample"
            )
    stated = stated_range(picture)
    if stated and stated[0] <= low and high <= stated[1]:
        return stated
    usual = _FLOATS if picture.mode == "F" else _WHOLE
    if picture.format in _SCALED and picture.mode != "F":
        low, high = min(low, 0.0), max(high, _WHOLE[-1])
    fitting = [most for most in usual if low >= 0 and high <= most]
    if fitting:
        return 0.0, fitting[0]
    return (low, high) if low < high else (low, low + 1)


def _strips(picture: PIL.Image.Image) -> Iterator[npt.NDArray[Any]]:
    """The samples, some rows at a time."""
    step = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, step):
        box = (0, top, picture.width, min(top + step, picture.height))
        yield np.asarray(picture.crop(box))


def to_8_bits(
    picture: PIL.Image.Image, samples: tuple[float, float]
) -> tuple[PIL.Image.Image, PIL.Image.Image | None]:
    """Round grey of many bits to 8, what lies outside its range cut off; what is no number is 0.

    Args:
        picture: of a mode that begins with I or F.
        samples: what becomes 0 and 255, of which the first may be the greater.

    Returns:
        Grey, and alpha where one value is transparent.
    """
    low, high = samples
    clear = picture.info.get("transparency")
    grey = np.empty((picture.height, picture.width), np.uint8)
    alpha = np.empty_like(grey) if isinstance(clear, int) else None
    top = 0
    for given in _strips(picture):
        rows = slice(top, top + len(given))
        if (low, high) == (0, 65535) and given.dtype == np.uint16:
            grey[rows] = (given.astype(np.uint32) * 255 + 32767) // 65535
        else:
            scaled = (given.astype(np.float64) - low) * (255 / (high - low))
            grey[rows] = np.rint(np.nan_to_num(scaled, posinf=255, neginf=0).clip(0, 255))
        if alpha is not None:
            alpha[rows] = np.where(given == clear, np.uint8(0), np.uint8(255))
        top += len(given)
    return PIL.Image.fromarray(grey), None if alpha is None else PIL.Image.fromarray(alpha)
