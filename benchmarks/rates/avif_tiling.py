"""What AVIF in tiles would cost on large pictures: bits, error, and error along the seams.

    python -m benchmarks.rates.avif_tiling --photographs DIR -o benchmarks/results/avif_tiling.json

kinpack codes AVIF in one piece (docs/decisions/0011-large-avif-in-one-piece.md); this is what was
tried in its place. No photographs of that size are at hand, so that they are made of smaller ones:
two enlarged six times, smooth, and two put together of 36, with edges between them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.codec.classic.avif import decode_avif, encode_avif
from kinpack.codec.classic.own_quality import avif_quality
from kinpack.codec.packets.target import lam
from kinpack.pictures.images import Image, load_image, squared_error, to_pil
from kinpack.sources.opening import open_source

TILES = (1024, 2048)
SEAM = 4
"""Pixels on each side of a seam that count as it."""
QUALITIES = (30, 60)
ENLARGED, ACROSS = 6, 6
SPEED = 4
SEED = 0


def photographs(folder: Path) -> list[Image]:
    """Photographs, all of them wide."""
    images = [item.load() for item in open_source(folder)]
    return [x if x.shape[0] < x.shape[1] else x.transpose(1, 0, 2) for x in images]


def large_pictures(found: list[Image]) -> dict[str, Image]:
    """Pictures of about 2,886 × 1,926 pixels, by what they are."""
    rng = np.random.default_rng(SEED)
    made: dict[str, Image] = {}
    for row in rng.permutation(len(found))[:2].tolist():
        height, width, _ = found[row].shape
        size = (width * ENLARGED, height * ENLARGED)
        picture = to_pil(np.ascontiguousarray(found[row]))
        made[f"enlarged {row}"] = load_image(picture.resize(size, Pillow.Resampling.LANCZOS))
    for turn in range(2):
        rows = rng.permutation(len(found))[: ACROSS**2].reshape(ACROSS, ACROSS)
        made[f"put together {turn}"] = put_together(found, rows)
    return made


def put_together(found: list[Image], rows: np.ndarray[Any, np.dtype[np.int64]]) -> Image:
    """A picture of photographs side by side; ``rows`` tells which, (down, across)."""
    lines = [np.concatenate([found[i] for i in line], axis=1) for line in rows.tolist()]
    return np.ascontiguousarray(np.concatenate(lines, axis=0))


def drawn_in_tiles(image: Image, own: int, side: int) -> tuple[int, Image]:
    """Bytes of a picture in tiles of so many pixels a side, and what they draw."""
    picture, n_bytes = np.empty_like(image), 0
    for top in range(0, image.shape[0], side):
        for left in range(0, image.shape[1], side):
            tile = np.ascontiguousarray(image[top : top + side, left : left + side])
            payload = encode_avif(tile, avif_quality=own, speed=SPEED)
            height, width, channels = tile.shape
            drawn = decode_avif(payload, width=width, height=height, channels=channels)
            picture[top : top + side, left : left + side] = drawn
            n_bytes += len(payload)
    return n_bytes, picture


def along_seams(shape: tuple[int, ...], side: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Pixels (H, W) that lie near a border between tiles."""
    near = [
        np.isin(np.arange(length) % side, [*range(SEAM), *range(side - SEAM, side)])
        & (np.arange(length) >= side - SEAM)
        & (np.arange(length) < (length - 1) // side * side + SEAM)
        for length in shape[:2]
    ]
    return near[0][:, None] | near[1]


def cost_of_tiles(name: str, image: Image, quality: int) -> list[dict[str, Any]]:
    """Rows: how much more tiles of each size take than one piece."""
    own = avif_quality(quality)
    n_bytes, whole = drawn_in_tiles(image, own, max(image.shape))
    error = squared_error(image, whole)
    rows = []
    for side in TILES:
        more, tiled = drawn_in_tiles(image, own, side)
        worse = squared_error(image, tiled)
        cost = (8 * more + lam(quality) * worse) / (8 * n_bytes + lam(quality) * error)
        seams = along_seams(image.shape, side)
        there, before = (
            float(np.square(image[seams].astype(np.float64) - picture[seams]).mean())
            for picture in (tiled, whole)
        )
        rows.append(
            {
                "picture": name,
                "quality": quality,
                "tile": side,
                "bytes_whole": n_bytes,
                "bytes_percent": round(100 * (more / n_bytes - 1), 2),
                "error_percent": round(100 * (worse / error - 1), 2),
                "cost_percent": round(100 * (cost - 1), 2),
                "error_along_seams_times": round(there / before, 2),
            }
        )
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Measure AVIF in tiles on large pictures.")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, image in large_pictures(photographs(arguments.photographs)).items():
        for quality in QUALITIES:
            rows += cost_of_tiles(name, image, quality)
            print(*rows[-len(TILES) :], sep="\n", flush=True)
    if arguments.output:
        head = run_head(seed=SEED)
        save_results(arguments.output, {**head, "speed": SPEED, "rows": rows})


if __name__ == "__main__":
    main()
