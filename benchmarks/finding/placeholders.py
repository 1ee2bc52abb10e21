"""How near placeholders come: what `look` draws of 8 bytes, beside the pictures themselves.

    python -m benchmarks.finding.placeholders --cifar DIR -o benchmarks/results/placeholders.json

On the toy database, CIFAR-10's first 200 test pictures of each class, 32×32: drawings of 16×16
are enlarged by bicubic, and the mean over pictures of their PSNR is told.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from benchmarks.measuring.data import toy_database
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.measures import mean_psnr
from benchmarks.measuring.result_file import save_results
from kinpack.describers.describer import Describer
from kinpack.describers.describing import product_codes
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source


def enlarged(image: Image, size: tuple[int, int]) -> Image:
    """A picture enlarged by bicubic to a width and height."""
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BICUBIC))


def main() -> None:
    """Draw, compare, and write the result file."""
    parser = argparse.ArgumentParser(description="How near placeholders come.")
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    pictures = [item.load() for item in toy_database(open_source(args.cifar, split="test"))]
    look = Describer.load("look")
    codes = product_codes(look, pictures)
    drawn = [enlarged(image, (32, 32)) for image in look.placeholder(codes)]
    found = {
        "pictures": len(pictures),
        "code_bytes": look.code_bytes,
        "mean_psnr": round(mean_psnr(pictures, drawn), 2),
        "distinct_codes": round(100 * len(np.unique(codes, axis=0)) / len(codes), 2),
        "bits_used": round(look.bits_used(codes), 1),
    }
    save_results(args.output, {**run_head(seed=0), **found})
    print(found)


if __name__ == "__main__":
    main()
