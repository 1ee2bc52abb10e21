"""Patches of photographs and rendered pictures that a codec learns from, as .npy files.

    python -m benchmarks.lattice.training_patches --photographs DIR DIR … --thumbnails DIR \
        --fonts DIR -o runs/patches

Photographs are reduced, by 1.5 or more so that the blocks of their JPEG files vanish, to shorter
sides of about a patch's to three times it, and cut into patches of 128, 64 and 32 pixels. A tenth
as many pictures of text, screens and drawings are rendered, and some smooth ones. Thumbnails of
32×32 (CIFAR-10) are taken as they are. Of each folder one picture in twenty, by the checksum of its
name, is held out: reduced whole to shorter sides of 64, 128 and 256 pixels, a part of them is kept
beside the patches to measure with. Nothing that this script writes belongs into the repository.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from benchmarks.lattice.rendered_pictures import fonts_in, rendered, smooth
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.opening import open_source

SIDES = (128, 64, 32)
"""Sides of patches, in pixels."""
CUTS = {128: 3, 64: 2, 32: 2}
"""Patches of each side that are cut from a photograph."""
LEAST_REDUCTION = 1.5
LEAST_SIDE = 200
"""Shorter side, in pixels, below which a photograph is left out."""
WIDEST = 3
"""The shorter side that patches are cut from is at most so many times theirs."""
HELD_OUT = 20
"""One picture in so many is never learned from."""
MEASURED = 16
"""Held-out pictures of each folder that are kept to measure with."""
MEASURED_SIDES = (64, 128, 256)
SMOOTH, FURTHER = 1500, 1 << 20
"""Smooth patches of a file of their own, and the number of the first."""
RENDERED_SHARE, SMOOTH_SHARE = 1 / 9, 1 / 16
"""Rendered and smooth patches for each patch of a photograph."""


def held_out(name: str) -> bool:
    """Whether a picture of this name is one that nothing is learned from."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def reduced(image: Image, shorter: int, rng: np.random.Generator | None = None) -> Image:
    """A picture reduced to a shorter side, by Lanczos or, drawn by ``rng``, by area; RGB."""
    height, width = image.shape[:2]
    factor = shorter / min(height, width)
    size = max(shorter, round(width * factor)), max(shorter, round(height * factor))
    way = Pillow.Resampling.LANCZOS
    if rng is not None and rng.random() < 0.4:
        way = Pillow.Resampling.BOX
    return load_image(to_pil(image).convert("RGB").resize(size, way))


def patches_of(image: Image, side: int, rng: np.random.Generator) -> Iterator[Image]:
    """Patches of a photograph, each from a reduction of its own; none of a small one.

    Args:
        image: uint8 (H, W, C).
        side: of the patches.
        rng: draws reductions and places.

    Yields:
        uint8 (side, side, 3).
    """
    largest = min(WIDEST * side, int(min(image.shape[:2]) / LEAST_REDUCTION))
    if min(image.shape[:2]) < LEAST_SIDE or largest < side:
        return
    for _ in range(CUTS[side]):
        shorter = round(side * (largest / side) ** rng.random())
        small = reduced(image, shorter, rng)
        top = int(rng.integers(small.shape[0] - side + 1))
        left = int(rng.integers(small.shape[1] - side + 1))
        yield small[top : top + side, left : left + side]


def photographs(
    folder: Path, patches: dict[int, list[Image]], measured: dict[int, dict[str, Image]], seed: int
) -> None:
    """Add the patches of a folder, and its held-out pictures; what cannot be read is left out."""
    rng = np.random.default_rng((seed, zlib.crc32(folder.name.encode())))
    kept = 0
    for item in open_source(folder):
        try:
            image = item.load()
        except KinpackError:
            continue
        if image.shape[2] == 4 or min(image.shape[:2]) < LEAST_SIDE:
            continue
        if held_out(item.id):
            if kept < MEASURED and min(image.shape[:2]) >= 1.5 * max(MEASURED_SIDES):
                kept += 1
                for side in MEASURED_SIDES:
                    measured[side][f"{folder.name}/{item.id}"] = reduced(image, side)
            continue
        # One reduction first: the others are made of it, which saves most of the time.
        largest = int(min(image.shape[:2]) / LEAST_REDUCTION)
        if largest > 2 * WIDEST * max(SIDES):
            image = reduced(image, 2 * WIDEST * max(SIDES))
        for side in SIDES:
            patches[side] += patches_of(image, side, rng)


def thumbnails(folder: Path, side: int) -> list[Image]:
    """Pictures of a collection that have just this side, held-out ones left out."""
    found = []
    for item in open_source(folder, split="train"):
        if held_out(item.id):
            continue
        image = item.load()
        if image.shape == (side, side, 3):
            found.append(image)
    return found


def save(folder: Path, name: str, patches: list[Image], rng: np.random.Generator) -> None:
    """Write patches, shuffled, under another name, then rename the file."""
    order = rng.permutation(len(patches))
    stacked: NDArray[np.uint8] = np.stack([patches[i] for i in order])
    part = folder / f".{name}.part"
    with part.open("wb") as file:
        np.save(file, stacked)
    part.replace(folder / f"{name}.npy")
    print(f"{name}: {len(patches):,} patches, {stacked.nbytes >> 20} MiB", flush=True)


def save_smooth(folder: Path, rng: np.random.Generator) -> None:
    """Write smooth patches alone, so that a run can see more of them than chance shows it."""
    side = SIDES[0]
    save(folder, "smooth-128", [smooth(FURTHER + n, side) for n in range(SMOOTH)], rng)


def run(arguments: argparse.Namespace) -> None:
    """Write all patch files and the held-out pictures."""
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    fonts = fonts_in(arguments.fonts)
    patches: dict[int, list[Image]] = {side: [] for side in SIDES}
    measured: dict[int, dict[str, Image]] = {side: {} for side in MEASURED_SIDES}
    for each in arguments.photographs:
        photographs(each, patches, measured, arguments.seed)
        print(each.name, {side: len(found) for side, found in patches.items()}, flush=True)
    for side, pictures in measured.items():
        np.savez(folder / f"held-out-{side}.npz", allow_pickle=False, **pictures)
    for side in SIDES:
        count = len(patches[side])
        for number in range(round(count * RENDERED_SHARE)):
            # Drawn at its own size or twice it: text as it is, and as a preview holds it.
            drawn = rendered(number, side * 2, fonts)
            patches[side].append(
                reduced(drawn, side, rng) if number % 2 else drawn[:side, :side].copy()
            )
        patches[side] += [smooth(n, side) for n in range(round(count * SMOOTH_SHARE))]
        save(folder, f"patches-{side}", patches[side], rng)
    save_smooth(folder, rng)
    if arguments.thumbnails:
        save(folder, "thumbnails-32", thumbnails(arguments.thumbnails, 32), rng)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Patches that a codec learns from.")
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--thumbnails", type=Path, metavar="DIR", help="pictures of 32×32")
    parser.add_argument("--fonts", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"training_patches: {error}")


if __name__ == "__main__":
    main()
