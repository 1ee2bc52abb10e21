"""Large pictures: converted and reduced strip by strip, one at a time: none is held twice."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from kinpack.pictures.colour import to_plain_mode

LARGE_PICTURE = 1 << 24
"""Pixels of a picture beyond which it is a large one."""

FILTER = PIL.Image.Resampling.LANCZOS
"""The filter that reduces pictures."""

GAP = 3.0
"""Times the size wanted down to which pixels are averaged, before the filter."""

STRIP = 1 << 21
"""Pixels of a strip, at least one line."""
_PIECE = 1 << 26  # bytes; the C library gives pieces above 32 MiB back to the system at once
_alone = threading.RLock()


def _renew_lock() -> None:
    """Give a forked process a lock of its own, whoever held its parent's."""
    global _alone
    _alone = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def is_large(size: tuple[int, int]) -> bool:
    """Tell whether a picture of this width and height is a large one."""
    return math.prod(size) > LARGE_PICTURE


@contextmanager
def alone_if_large(size: tuple[int, int]) -> Iterator[None]:
    """Hold a block in which one large picture is read at a time, whatever the threads."""
    if not is_large(size):
        yield
        return
    with _alone:
        core: Any = vars(PIL.Image)["core"]
        before = core.get_block_size()
        # Memory in pieces as small as Pillow's stays with the thread that has let it go.
        core.set_block_size(max(before, _PIECE))
        try:
            yield
        finally:
            core.set_block_size(before)


def in_strips(
    picture: PIL.Image.Image,
    wanted: tuple[int, int] | None,
    samples: tuple[float, float] | None,
) -> npt.NDArray[np.uint8]:
    """Convert a picture to a plain mode, and reduce it, without a second one of its size.

    Args:
        picture: of any mode, loaded.
        wanted: width and height that it gets; None leaves it as large as it is.
        samples: of grey of more than 8 bits, what becomes 0 and 255.

    Returns:
        uint8 (H, W) or (H, W, C).
    """
    width, height = picture.size
    across, down = (
        max(1, int(side / small / GAP))
        for side, small in zip(picture.size, wanted or picture.size, strict=True)
    )
    step = down * max(1, STRIP // (width * down))
    strips = (
        to_plain_mode(picture.crop((0, top, width, min(top + step, height))), samples)
        for top in range(0, height, step)
    )
    if wanted is None:
        rows = np.asarray(next(strips))
        array = np.empty((height, *rows.shape[1:]), np.uint8)
        array[:step] = rows
        for number, strip in enumerate(strips, start=1):
            array[number * step : (number + 1) * step] = np.asarray(strip)
        return array
    # As Pillow itself reduces, which holds whole pictures, and averages none that have alpha.
    parts = (_premultiplied(strip).reduce((across, down)) for strip in strips)
    part = next(parts)
    whole = PIL.Image.new(part.mode, (part.width, -(-height // down)))
    whole.paste(part)
    for number, part in enumerate(parts, start=1):
        whole.paste(part, (0, number * step // down))
    reduced = whole.resize(wanted, FILTER, box=(0, 0, width / across, height / down))
    return np.array(reduced.convert("RGBA") if reduced.mode == "RGBa" else reduced)


def _premultiplied(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.convert("RGBa") if picture.mode == "RGBA" else picture
