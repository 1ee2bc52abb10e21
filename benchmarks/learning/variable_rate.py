"""What one codec for all qualities costs against codecs trained for one quality each.

    python -m benchmarks.learning.variable_rate --cifar DIR --photos DIR --work runs/variable \
        -o benchmarks/results/variable_rate.json

From the shipped codec's weights one codec is trained on for all qualities and one for each of three
alone, in the same number of steps. Bytes of the toy database's payloads are compared at the PSNR
that each single-quality codec reaches at its own quality.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from benchmarks.measuring.codes import SEARCHED_BYTES
from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.codec.codec import Codec
from kinpack.learn.learning import FROM_A_START, learn_codec
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.start_file import shipped_start
from kinpack.metrics import psnr
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

SINGLE = (36, 54, 72)
AROUND = 12
"""Qualities on both sides of a single one between which the common codec's bytes are read off."""
SEED = 3
STEPS = 900
MUST = 3.0
"""Percent of bytes that the common codec may take more than a single one."""

Point = tuple[float, float]


def point(codec: Codec, images: Sequence[Image], quality: int) -> Point:
    """Mean PSNR in dB, and mean bytes with the code's, of learned payloads."""
    payloads, drawn = codec.learned_coder().encode(images, quality=quality)
    values = [psnr(image, picture) for image, picture in zip(images, drawn, strict=True)]
    return float(np.mean(values)), float(np.mean([len(p) + SEARCHED_BYTES for p in payloads]))


def bytes_at(points: Sequence[Point], psnr_db: float) -> float:
    """Bytes of a curve at a PSNR, by PCHIP through log bytes."""
    x = np.array([p for p, _ in points])
    y = np.log([b for _, b in points])
    return float(np.exp(PchipInterpolator(x, y)(psnr_db)))


def learned(args: argparse.Namespace, low: int, high: int) -> Codec:
    """A codec trained on from the shipped weights for a range of qualities."""
    return learn_codec(
        [open_source(args.cifar, split="train"), open_source(args.photos)],
        start=shipped_start("default"),
        training=TrainingConfig(
            steps=args.steps, seed=SEED, quality_low=low, quality_high=high, **FROM_A_START
        ),
        work=args.work / f"{low}-{high}",
        name=f"{low}-{high}",
        threads=args.threads,
        log_line=lambda line: print(json.dumps(line), file=sys.stderr),
        log_every=100,
    ).codec


def main() -> None:
    """Train, encode, compare."""
    parser = argparse.ArgumentParser(description="Measure the cost of variable rate.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training, for each codec")
    parser.add_argument("--images", type=int, help="measure so many pictures only, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    pictures = load_pictures("cifar10-toy", Folders(cifar=args.cifar))
    images = (pictures if args.images is None else pictures.sample(args.images, seed=SEED)).images
    common = learned(args, TrainingConfig().quality_low, TrainingConfig().quality_high)
    rows = []
    for quality in SINGLE:
        single = learned(args, quality, quality)
        reached, size = point(single, images, quality)
        around = [quality + d for d in (-AROUND, -AROUND // 2, 0, AROUND // 2, AROUND)]
        curve = [point(common, images, q) for q in around]
        other = bytes_at(curve, reached)
        row = {
            "quality": quality,
            "psnr": round(reached, 4),
            "bytes_single": round(size, 2),
            "bytes_common": round(other, 2),
            "common_against_single_percent": round(100 * (other / size - 1), 2),
        }
        print(row, flush=True)
        rows.append(row)
    largest = max(row["common_against_single_percent"] for row in rows)
    head = {
        "steps": args.steps,
        "threads": args.threads,
        "images": len(images),
        "torch": torch.__version__,
        "start": shipped_start("default").codec_id,
        "largest_percent": largest,
        "must_percent": MUST,
        "reached": largest <= MUST,
    }
    save_results(args.output, {**run_head(seed=SEED), **head, "rows": rows})


if __name__ == "__main__":
    main()
