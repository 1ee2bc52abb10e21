"""Pictures that `photo` learns from, and what its teacher says of them, as two .npy files.

    kinpack describer make lite0 -o runs/photo/lite0.kine
    python -m benchmarks.ship.photo_pictures --lite0 runs/photo/lite0.kine --cifar DIR \
        --photographs DIR DIR … --emoji DIR -o runs/photo

Photographs whole and cropped, pictures among the first 40,000 of CIFAR-10's train split, and emoji
without their skin tones; the teacher sees each of them larger than the student will. Of every
collection those that are held out to measure with are left out, and no label is used. Needs the
extra photo.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ship.learn_lite0_books import SMALLEST, drawings, thumbnails
from benchmarks.ship.photographs import cut, usable
from kinpack.describers.describer import Describer
from kinpack.errors import KinpackError
from kinpack.learn.photo.networks import FITTING, SIDE
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

ABOUT, CROPS = 9000, 7
"""Pictures that a folder gives, crops among them, and most crops of one."""
_BATCH = 64


def photographs(folder: Path, rng: np.random.Generator) -> Iterator[Image]:
    """Photographs of a folder, each followed by oblongs cut out of it."""
    items = list(open_source(folder))
    crops = min(CROPS, ABOUT // len(items) - 1)
    for image in usable(items, SMALLEST):
        yield image
        for _ in range(crops):
            yield cut(image, rng, 0.35, 0.85)


def main() -> None:
    """Read the arguments, write the files."""
    parser = argparse.ArgumentParser(description="Pictures that photo learns from.")
    parser.add_argument("--lite0", type=Path, required=True, help="the teacher's file")
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--emoji", type=Path, required=True)
    parser.add_argument("--thumbnails", type=int, default=16_000)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    teacher = Describer.load(arguments.lite0)
    rng = np.random.default_rng(0)
    seen: list[NDArray[np.uint8]] = []
    said: list[NDArray[np.float32]] = []

    def take(images: Iterator[Image], name: str) -> None:
        while some := list(islice(images, _BATCH)):
            seen.extend(np.rint(FITTING.cells(image, SIDE)).astype(np.uint8) for image in some)
            said.append(teacher.latents(some, threads=1))
        print(f"{name}: {len(seen):,} in all", flush=True)

    try:
        for folder in arguments.photographs:
            take(photographs(folder, rng), folder.name)
        take(drawings(arguments.emoji), "emoji")
        take(thumbnails(arguments.cifar, arguments.thumbnails), "thumbnails")
    except KinpackError as error:
        sys.exit(f"photo_pictures: {error}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(seen))
    np.save(arguments.output / "pictures.npy", np.stack(seen)[order])
    np.save(arguments.output / "latents.npy", np.concatenate(said)[order])


if __name__ == "__main__":
    main()
