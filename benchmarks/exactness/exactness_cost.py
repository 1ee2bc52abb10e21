"""What exact pixels cost: the integer synthesis against the float network it was made of.

    python -m benchmarks.exactness.exactness_cost --cifar DIR \
        -o benchmarks/results/exactness_cost.json

The toy database is encoded once at each quality; the same latents are drawn by the codec, in
integers, and by the network that it was frozen from, in floating point (its weights are kept in
half precision).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring.codes import SEARCHED_BYTES
from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.codec.codec import Codec
from kinpack.learn.freezing.scales import UNIT
from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.run import begin_with
from kinpack.learn.training.start_file import shipped_start
from kinpack.metrics import bd_rate, psnr
from kinpack.pictures.images import Image

QUALITIES = (24, 32, 40, 48, 56, 64, 72, 80)
LOW, HIGH = 26.0, 36.0
MUST = 3.0
"""Percent of bytes that exact pixels may cost."""
BATCH = 250


def mean_psnr(images: Sequence[Image], drawn: Sequence[Image]) -> float:
    """Mean over images of PSNR in dB."""
    return float(np.mean([psnr(a, b) for a, b in zip(images, drawn, strict=True)]))


@torch.no_grad()
def main() -> None:
    """Draw both, compare."""
    parser = argparse.ArgumentParser(description="Measure what exact pixels cost.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--images", type=int, help="measure so many pictures only, for a trial")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    pictures = load_pictures("cifar10-toy", Folders(cifar=args.cifar))
    images = (pictures if args.images is None else pictures.sample(args.images, seed=0)).images
    codec, start = Codec.load("default"), shipped_start("default")
    model = LatticeModel(LatticeConfig.from_dict(start.network))
    begin_with(model, start)
    model.eval()
    coder = codec.learned_coder()
    rows = []
    for quality in QUALITIES:
        exact: list[Image] = []
        real: list[Image] = []
        sizes: list[int] = []
        for first in range(0, len(images), BATCH):
            part = images[first : first + BATCH]
            y = coder.analyse(np.stack(part), quality)
            each = np.full(len(part), quality)
            y_hat, messages = coder.latents.encode(y, None, quality=each)
            sizes += [len(message) + SEARCHED_BYTES for message in messages]
            exact += coder.decode(messages, sizes=[(32, 32)] * len(part), quality=quality)
            dequantised = torch.from_numpy(y_hat).float() / UNIT
            picture = model.draw(dequantised, torch.full((len(part),), float(quality)))
            levels = ((picture + 0.5).clamp(0, 1) * 255).round().byte()
            real += list(levels.permute(0, 2, 3, 1).numpy())
        rows.append(
            {
                "quality": quality,
                "bytes_per_image": float(np.mean(sizes)),
                "psnr_integers": mean_psnr(images, exact),
                "psnr_float": mean_psnr(images, real),
            }
        )
        print(rows[-1], flush=True)
    rates = [row["bytes_per_image"] for row in rows]
    cost = bd_rate(
        rates,
        [row["psnr_float"] for row in rows],
        rates,
        [row["psnr_integers"] for row in rows],
        low=LOW,
        high=HIGH,
    )
    head: dict[str, Any] = {"torch": torch.__version__, "must_percent": MUST}
    head |= {"codec_id": codec.codec_id, "images": len(images), "range_db": [LOW, HIGH]}
    found = {"bd_rate_percent": round(100 * cost, 3), "rows": rows}
    save_results(args.output, {**run_head(seed=0), **head, **found})
    print(found["bd_rate_percent"])


if __name__ == "__main__":
    main()
