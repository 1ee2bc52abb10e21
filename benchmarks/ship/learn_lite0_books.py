"""Learn the directions and books that the describer lite0 is made with.

    python -m benchmarks.ship.learn_lite0_books --cifar DIR --photographs DIR DIR … --emoji DIR \
        --features runs/lite0/features.npy -o src/kinpack/learn/lite/lite0_books.npz

Of photographs, whole and cropped, of 4,000 pictures among the first 40,000 of CIFAR-10's train
split, and of emoji without their skin tones. Of every collection those that are held out to measure
with are left out, and no label is used. Features are kept in a file, and taken from it where it is
there. Needs the extra photo.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ship.photographs import cut, usable
from kinpack.errors import KinpackError
from kinpack.learn.lite.books import lite0_books
from kinpack.learn.lite.efficientnet_lite import EfficientNetLite0
from kinpack.learn.lite.making import FITTING, MIDDLE, SIDE, SPREAD, read_weights
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

ABOUT, CROPS = 2000, 9
"""Pictures that a folder gives, crops among them, and most crops of one."""
SMALLEST = 128
"""Least side of a photograph."""
CIFAR, CIFAR_FIRST = 4000, 40_000
_BATCH = 32


def photographs(folder: Path, rng: np.random.Generator) -> Iterator[Image]:
    """Photographs of a folder, or every second of many, each followed by squares cut out of it."""
    items = list(open_source(folder))
    crops = min(CROPS, ABOUT // len(items))
    for image in usable(items[:: 1 + len(items) // ABOUT], SMALLEST):
        yield image
        for _ in range(crops):
            yield cut(image, rng, 0.3, 0.8)


def thumbnails(folder: Path, count: int = CIFAR) -> Iterator[Image]:
    """Some of CIFAR-10's train pictures."""
    items = list(open_source(folder, split="train"))
    chosen = np.random.default_rng(1).permutation(CIFAR_FIRST)[:count]
    return (items[number].load() for number in sorted(chosen.tolist()))


def drawings(folder: Path) -> Iterator[Image]:
    """Emoji that are not held out, one of those that differ in skin tone."""
    for item in open_source(folder):
        base, _, tone = item.id.rpartition("/")[2].partition("--")
        if not tone and zlib.crc32(base.encode()) % 5:
            yield item.load()


@torch.inference_mode()
def features_of(images: Iterable[Image]) -> NDArray[np.float32]:
    """Features (n, 1280) of images, fitted as the describer fits them."""
    network = EfficientNetLite0()
    network.load(read_weights())
    network.eval()
    waiting, found = iter(images), []
    while some := list(islice(waiting, _BATCH)):
        cells = np.stack([FITTING.cells(image, SIDE) for image in some]).transpose(0, 3, 1, 2)
        found.append(network((torch.from_numpy(cells) - MIDDLE) / SPREAD).numpy())
    return np.concatenate(found)


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description="Directions and books of lite0.")
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--emoji", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True, metavar="FILE.npy")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.features.exists():
        rng = np.random.default_rng(0)
        images = chain(
            thumbnails(arguments.cifar),
            *(photographs(folder, rng) for folder in arguments.photographs),
            drawings(arguments.emoji),
        )
        try:
            features = features_of(images)
        except KinpackError as error:
            sys.exit(f"learn_lite0_books: {error}")
        arguments.features.parent.mkdir(parents=True, exist_ok=True)
        np.save(arguments.features, features)
    features = np.load(arguments.features)
    arrays = lite0_books(features)
    exact = ("mean", "latent_mean", "fine_mean")
    stored = {
        name: array.astype(np.float32 if name in exact else np.float16)
        for name, array in arrays.items()
    }
    np.savez_compressed(arguments.output, **stored)  # type: ignore[arg-type]
    print(f"{arguments.output.name}: of {len(features):,} pictures")


if __name__ == "__main__":
    main()
