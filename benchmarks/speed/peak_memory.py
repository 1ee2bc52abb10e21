"""Peak memory of packing many images, and of coding and decoding one large image.

Each figure is of a process of its own that does nothing else. On Linux the kernel's high-water mark
of the process is read, for getrusage also counts what the process was before it was this program.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.measuring.data import Folders, load_pictures
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.opening import open_source, subset

COUNTS = (1000, 8000)
SIDES = (512, 1024, 2048, 4096)
QUALITY = 60
ENLARGED = 128


def peak_mib() -> float:
    """Most memory that this process has held so far, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1024 if sys.platform == "darwin" else 1
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    return round(kib / 1024, 1)


def of_packing(
    codec: Codec, cifar: Path, count: int, *, classic: Classic, threads: int
) -> dict[str, Any]:
    """Pack the first images of CIFAR-10's test split into an archive.

    Args:
        codec: in memory already; it is used once before.
        cifar: folder of the data set.
        count: of images.
        classic: as for packing.
        threads: the same.

    Returns:
        JSON values: ``before_mib`` and ``peak_mib``, and ``seconds``.
    """
    source = open_source(cifar, split="test")
    codec.encode([next(iter(source)).load()], quality=QUALITY, classic=classic, threads=threads)
    before, began = peak_mib(), time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Archive.create(Path(folder) / "packed.kin", codec) as archive,
    ):
        archive.add(subset(source, stop=count), quality=QUALITY, classic=classic, threads=threads)
    return {
        "what": "packing",
        "images": count,
        "classic": classic,
        "threads": threads,
        "before_mib": before,
        "peak_mib": peak_mib(),
        "seconds": round(time.perf_counter() - began, 1),
    }


def of_one_image(
    codec: Codec, cifar: Path, side: int, *, classic: Classic, threads: int
) -> dict[str, Any]:
    """Code one square image and decode it.

    Args:
        codec: in memory already; it is used once before.
        cifar: folder of the data set whose images, enlarged, are the tiles of this one.
        side: of the image, in pixels.
        classic: as for packing.
        threads: the same.

    Returns:
        JSON values: ``image_mib`` of the pixels; ``before_mib``, with them in memory,
        ``peak_mib_encoding`` and ``peak_mib``, with decoding; seconds of both.
    """
    image = mosaic(load_pictures("cifar10-toy", Folders(cifar=cifar)).images, side)
    codec.encode([image[:32, :32].copy()], quality=QUALITY, classic=classic, threads=threads)
    before, began = peak_mib(), time.perf_counter()
    packets = codec.encode([image], quality=QUALITY, classic=classic, threads=threads)
    encoding, between = peak_mib(), time.perf_counter()
    codec.decode(packets, threads=threads)
    return {
        "what": "one image",
        "side": side,
        "classic": classic,
        "threads": threads,
        "kind": packets[0].kind.name.lower(),
        "image_mib": round(image.nbytes / 2**20, 1),
        "before_mib": before,
        "peak_mib_encoding": encoding,
        "peak_mib": peak_mib(),
        "seconds_encoding": round(between - began, 1),
        "seconds_decoding": round(time.perf_counter() - between, 1),
    }


def mosaic(images: Sequence[Image], side: int) -> Image:
    """A square of images, each enlarged to 128×128, over and over; ``side`` is a multiple of it."""
    across = side // ENLARGED
    made = np.empty((side, side, 3), np.uint8)
    size = (ENLARGED, ENLARGED)
    for place in range(across * across):
        tile = to_pil(images[place % len(images)]).resize(size, Pillow.Resampling.BICUBIC)
        top, left = place // across * ENLARGED, place % across * ENLARGED
        made[top : top + ENLARGED, left : left + ENLARGED] = load_image(tile)
    return made
