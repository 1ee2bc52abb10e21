"""The same pictures as ordinary files, at the quality that matches a given PSNR."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from kinpack.metrics import psnr

#: Every ``SAMPLE_STEP``-th picture takes part in the choice of a quality.
SAMPLE_STEP = 10


@dataclass(frozen=True)
class Rival:
    """A file format at one of its good settings.

    Attributes:
        name: as the table shows it.
        format: Pillow's name of the format.
        options: Pillow's options for saving, without the quality.
        lossless: whether decoding gives the very pixels, so that there is no quality to choose.
    """

    name: str
    format: str
    options: dict[str, Any] = field(default_factory=dict)
    lossless: bool = False


RIVALS = (
    Rival(
        "AVIF",
        "AVIF",
        {"speed": 6, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}, "max_threads": 1},
    ),
    Rival("WebP", "WEBP", {"method": 6}),
    Rival("JPEG", "JPEG", {"optimize": True, "subsampling": "4:2:0"}),
    Rival("PNG", "PNG", {"optimize": True}, lossless=True),
)


@dataclass(frozen=True)
class Measured:
    """What all pictures cost in one format.

    Attributes:
        name: of the format.
        quality: the setting chosen, or None for a lossless format.
        bytes: sum of the lengths of the files.
        psnr: mean over the pictures, in dB.
    """

    name: str
    quality: int | None
    bytes: int
    psnr: float


def code(image: Image.Image, rival: Rival, quality: int | None) -> tuple[int, float]:
    """Bytes of one file and the PSNR of what it decodes to, in dB."""
    buffer = io.BytesIO()
    options = rival.options if quality is None else {**rival.options, "quality": quality}
    image.save(buffer, rival.format, **options)
    with Image.open(buffer) as decoded:
        pixels = np.asarray(decoded.convert(image.mode))
    return buffer.tell(), float(psnr(np.asarray(image), pixels))


def code_all(
    pool: ThreadPoolExecutor, images: Sequence[Image.Image], rival: Rival, quality: int | None
) -> tuple[int, float]:
    """Sum of bytes and mean of PSNR over pictures."""
    results = list(pool.map(lambda image: code(image, rival, quality), images))
    return sum(size for size, _ in results), float(np.mean([value for _, value in results]))


def least_quality(
    pool: ThreadPoolExecutor, images: Sequence[Image.Image], rival: Rival, goal: float
) -> int:
    """The lowest quality of 1..100 whose mean PSNR reaches the goal, by bisection; 100 if none."""
    low, high = 1, 100
    while low < high:
        middle = (low + high) // 2
        if code_all(pool, images, rival, middle)[1] >= goal:
            high = middle
        else:
            low = middle + 1
    return low


def measure(images: Sequence[Image.Image], psnr_of_each: Sequence[float]) -> list[Measured]:
    """Code pictures in every format at the lowest quality whose PSNR is at least the one given.

    The quality is chosen on every ``SAMPLE_STEP``-th picture, against the PSNR of the same ones;
    bytes and PSNR are then measured on all of them.

    Args:
        images: the pictures.
        psnr_of_each: what there is to match, for each picture, in dB.

    Returns:
        One measurement a format, in the order of ``RIVALS``.
    """
    sample = images[::SAMPLE_STEP]
    goal = float(np.mean(psnr_of_each[::SAMPLE_STEP]))
    measured = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for rival in RIVALS:
            quality = None if rival.lossless else least_quality(pool, sample, rival, goal)
            size, value = code_all(pool, images, rival, quality)
            measured.append(Measured(rival.name, quality, size, value))
    return measured
