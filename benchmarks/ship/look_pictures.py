"""Pictures that `look` learns from: luma of 64×64, as an .npy file.

    python -m benchmarks.ship.look_pictures --photographs DIR DIR … --portraits DIR --patches DIR \
        --emoji DIR --fonts DIR -o runs/look/luma.npy

Photographs whole and cropped, portraits, thumbnails, drawings, and rendered pages, screens and grey
cells; each squeezed to a square. Of every collection those that are held out to measure with are
left out.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.finding.drawn import cell, page
from benchmarks.lattice.rendered_pictures import fonts_in, rendered, smooth
from benchmarks.ship.photographs import cut, usable
from kinpack.describers.descriptor import area_reduction
from kinpack.learn.look.networks import LUMA
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

SIDE = 64
TIMES = 10
"""Times that each portrait is there."""
FIRST = 1 << 20
"""Number of the first rendered picture: those that are measured with have small numbers."""


def luma_of(image: Image) -> NDArray[np.uint8]:
    """Luma of a picture squeezed to 64×64, uint8."""
    levels: NDArray[np.float32] = area_reduction(image, SIDE) @ np.array(LUMA, np.float32)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def photographs(folder: Path, crops: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Photographs whole, and squares and oblongs cut out of them."""
    for image in usable(open_source(folder), 2 * SIDE):
        yield luma_of(image)
        for _ in range(crops):
            yield luma_of(cut(image, rng, 0.3, 0.8))


def portraits(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Portraits, whole and cut to their middle, each several times: they are few, and alike."""
    for item in open_source(folder):
        image = item.load()
        margin = image.shape[1] // 5
        for part in (image, image[:, margin:-margin]):
            seen = luma_of(np.ascontiguousarray(part))
            for _ in range(TIMES):
                yield seen


def rendered_ones(count: int, fonts: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """Pages, screens, drawings, smooth fields and grey cells, so many of each of four sorts."""
    for number in range(FIRST, FIRST + count):
        yield luma_of(page(number, fonts, 256))
        yield luma_of(cell(number))
        yield luma_of(rendered(number, 2 * SIDE, fonts))
        yield luma_of(smooth(number, SIDE))


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description="Pictures that look learns from.")
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--patches", type=Path, required=True, help="of training_patches.py")
    parser.add_argument("--emoji", type=Path, required=True, metavar="DIR")
    parser.add_argument("--fonts", type=Path, required=True, metavar="DIR")
    parser.add_argument("--portraits", type=Path, metavar="DIR", help="grey ones")
    parser.add_argument("--rendered", type=int, default=2500, help="of each sort")
    parser.add_argument("--crops", type=int, default=3, help="of each photograph")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    found: list[NDArray[np.uint8]] = []
    for folder in arguments.photographs:
        found += photographs(folder, arguments.crops, rng)
        print(folder.name, len(found), flush=True)
    if arguments.portraits:
        found += portraits(arguments.portraits)
    thumbnails = np.load(arguments.patches / "thumbnails-32.npy", mmap_mode="r")
    found += [luma_of(np.ascontiguousarray(image)) for image in thumbnails[:9000]]
    for item in open_source(arguments.emoji):
        if zlib.crc32(item.id.rpartition("/")[2].partition("--")[0].encode()) % 5:
            found.append(luma_of(item.load()))
    print("with thumbnails and emoji", len(found), flush=True)
    found += rendered_ones(arguments.rendered, fonts_in(arguments.fonts))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.save(arguments.output, np.stack(found)[rng.permutation(len(found))])
    print(f"{arguments.output.name}: {len(found):,} pictures")


if __name__ == "__main__":
    main()
