"""Pictures that a decoder did not finish: which pixels it gave, and what stands for the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

_ADAM7 = ((2, 1), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8))
_GIF = ((2, 1), (4, 1), (8, 1))
"""Heights and widths of the blocks for which a pixel of an earlier pass stands, the least first."""
_PLAIN = ("L", "P", "RGB", "RGBA", "LA", "I;16")


def load_unfinished(picture: ImageFile, reopen: Callable[[], ImageFile]) -> float:
    """Take the pixels that a picture got before decoding it failed.

    It is decoded once more into memory that held something else: what differs was never written.
    The missing pixels of an interlaced picture are those of its earlier passes, enlarged, as
    browsers show them; others stay 0, or clear.

    Args:
        picture: opened; loading it failed, and it is loaded afterwards.
        reopen: opens it anew.

    Returns:
        The share of the pixels that is missing, 0 to 1.

    Raises:
        OSError: nothing of it can be decoded.
    """
    blocks: tuple[tuple[int, int], ...] = ()
    box: tuple[int, int, int, int] | None = None
    _finish(picture)
    with reopen() as again:
        if again.format == "PNG" and again.info.get("interlace"):
            blocks = _ADAM7
        elif again.format == "GIF" and again.tile:
            box, tile = again.tile[0].extents, again.tile[0].args
            blocks = _GIF if isinstance(tile, tuple) and tile[1] else ()
        _fill_before(again)
        try:
            again.load()
        except (OSError, SyntaxError):
            _finish(again)
        missing = _missing(picture, again)
    if box:
        left, top, right, bottom = box
        around = np.ones_like(missing)
        around[top:bottom, left:right] = False
        missing &= ~around
    share = float(missing.mean())
    if blocks and 0 < share < 1 and picture.mode in _PLAIN:
        _from_earlier_passes(picture, missing, blocks)
    return share


def _finish(picture: ImageFile) -> None:
    """Let a picture be what was decoded of it."""
    undone = bool(picture.tile)
    picture.tile = []
    if undone and picture.format == "TIFF":
        picture.load_end()  # turns it upright
    picture.load()


def _fill_before(picture: ImageFile) -> None:
    """Let the memory that a picture is decoded into be full of the highest values."""
    prepare = picture.load_prepare

    def prepare_and_fill() -> None:
        prepare()
        bands = PIL.Image.getmodebands(picture.mode)
        highest = 65535 if picture.mode.startswith("I;16") else 255
        colour = highest if bands == 1 else (highest,) * bands
        picture.im = PIL.Image.new(picture.mode, picture.im.size, colour).im

    vars(picture)["load_prepare"] = prepare_and_fill


def _missing(one: PIL.Image.Image, other: PIL.Image.Image) -> NDArray[np.bool_]:
    """Which pixels differ, (H, W)."""
    size = (one.height, one.width, -1)
    different = np.asarray(np.not_equal(np.asarray(one), np.asarray(other))).reshape(size)
    missing: NDArray[np.bool_] = np.asarray(different.any(axis=2))
    return missing


def _from_earlier_passes(
    picture: PIL.Image.Image, missing: NDArray[np.bool_], blocks: tuple[tuple[int, int], ...]
) -> None:
    """Give each missing pixel the colour of the pixel that stands for its block."""
    pixels = np.array(picture)
    rows, columns = np.nonzero(missing)
    for height, width in blocks:
        above, left = rows // height * height, columns // width * width
        there = ~missing[above, left]
        pixels[rows[there], columns[there]] = pixels[above[there], left[there]]
        rows, columns = rows[~there], columns[~there]
    filled = PIL.Image.frombytes(picture.mode, picture.size, pixels.tobytes())
    picture.paste(filled, (0, 0))
