"""Bytes of pictures as single files of the usual formats, beside which payloads stand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from kinpack.metrics import psnr
from kinpack.pictures.images import Image, composite_on_white, load_image, to_pil

FileForm: TypeAlias = Literal["jpeg", "webp", "avif"]
"""A format of single files, at its usual settings."""
FILE_FORMS: tuple[FileForm, ...] = get_args(FileForm)


def as_file(image: Image, form: FileForm, quality: int) -> bytes:
    """Code an image as a file; one with alpha is laid on white, as JPEG has none.

    Args:
        image: uint8 (H, W, C).
        form: the format.
        quality: 1 to 100.
    """
    buffer = io.BytesIO()
    picture = to_pil(composite_on_white(image) if image.shape[2] == 4 else image)
    picture.save(buffer, form, quality=quality)
    return buffer.getvalue()


def shown_psnr(image: Image, picture: Image) -> float:
    """Measure the PSNR of two images in dB, both laid on white."""
    return psnr(composite_on_white(image), composite_on_white(picture))


def sizes_at_psnr(
    images: Sequence[Image], form: FileForm, least: float, *, lowest: int = 1
) -> tuple[list[int] | None, int]:
    """Find the lowest quality at which files reach a mean PSNR, by bisection.

    Args:
        images: uint8 (H, W, C) each.
        form: the format.
        least: mean PSNR in dB that files must reach.
        lowest: the quality from which on it is looked for.

    Returns:
        Bytes of each file, ``None`` where no quality reaches it; and the quality, 100 at most.
    """
    low, high, best = lowest, 100, None
    while low <= high:
        quality = (low + high) // 2
        files = [as_file(image, form, quality) for image in images]
        drawn = map(load_image, files)
        reached = [shown_psnr(*pair) for pair in zip(images, drawn, strict=True)]
        if np.mean(reached) >= least:
            best, high = [len(file) for file in files], quality - 1
        else:
            low = quality + 1
    return best, min(low, 100)
