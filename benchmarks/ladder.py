"""What each part of the context model saves: the ladder of docs/codec.md.

    python benchmarks/ladder.py --cifar DIR --minutes 2 -o benchmarks/results/ladder.json

The transforms stay those of the shipped codec. For each rung the context networks are learned anew,
for the same time, and the toy database is quantised and coded with frequency tables refitted on
training patches. Bits are those that the integer tables give to the symbols; true payloads are
longer by 0.1 % and 3 bytes at most (tests/test_entropy.py).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import Folders, load_pictures
from kinpack.codec.embedder import Embedder
from kinpack.entropy.tables import FrequencyTables
from kinpack.learn.bottlenecks import SCALE_HIGH, SCALE_LOW, gaussian_bits, quantise_about
from kinpack.learn.config import NetworkConfig, Step
from kinpack.learn.freeze import BINS_PER_OCTAVE
from kinpack.learn.learning import calibration_patches, read_collection
from kinpack.learn.model import CodecModel, quantiser_step
from kinpack.learn.networks import parity_mask
from kinpack.learn.patches import PatchSampler
from kinpack.learn.start_file import Start, shipped_start
from kinpack.learn.tables import gaussian_tables, refit_tables
from kinpack.learn.warm_start import take_over
from kinpack.metrics import bd_rate
from kinpack.sources import open_source
from machine import run_head
from result_file import save_results

QUALITIES = (24, 32, 40, 48, 56, 64, 72)
LOW, HIGH = 26.0, 36.0
CODE_BITS = 64
SEED = 5
TABLES = int((SCALE_HIGH - SCALE_LOW) * BINS_PER_OCTAVE)
DEVIATIONS = 2.0 ** (SCALE_LOW + (np.arange(TABLES) + 0.5) / BINS_PER_OCTAVE)

WHOLE = (Step(0, 192, -1),)
SLICES = (
    Step(0, 8, -1),
    Step(8, 24, -1),
    Step(24, 64, -1),
    Step(64, 128, -1),
    Step(128, 192, -1),
)

Ints = NDArray[np.int64]
Codes = Callable[[NDArray[np.uint8], Tensor], Tensor]


@dataclass(frozen=True)
class Rung:
    """One form of the context model.

    Attributes:
        name: for the table.
        steps: order of coding.
        code: which product code is context: "none", "own" or "kin".
    """

    name: str
    steps: tuple[Step, ...]
    code: str


FULL = NetworkConfig().steps
RUNGS = (
    Rung("nothing known", WHOLE, "none"),
    Rung("slices of channels", SLICES, "none"),
    Rung("slices and checkerboard", FULL, "none"),
    Rung("and the product code, trained on reconstruction", FULL, "own"),
    Rung("and instead a code aligned by class (kin)", FULL, "kin"),
)


class Context:
    """Context networks of a rung over the shipped transforms.

    Args:
        start: weights of the shipped codec.
        rung: the form.
    """

    def __init__(self, start: Start, rung: Rung) -> None:
        torch.manual_seed(0)
        self.rung = rung
        self.model = CodecModel(replace(start.network, steps=rung.steps))
        take_over(self.model, start.state)
        if rung.steps == start.network.steps:  # learned anew like the others
            for network in self.model.context:
                for layer in network.modules():
                    if isinstance(layer, torch.nn.Conv2d):
                        layer.reset_parameters()
        self.embedder = Embedder.load("kin") if rung.code == "kin" else None
        width = start.network.code_context
        size = start.network.M * start.network.code_dim
        if self.embedder is not None:
            size = self.embedder.quantizer.D
        self.code_context = torch.nn.Linear(size, width)

    def parameters(self) -> list[Tensor]:
        """What is learned."""
        return [*self.model.context.parameters(), *self.code_context.parameters()]

    def code(self, patches: NDArray[np.uint8]) -> Tensor:
        """What the code contributes to the context: (n, code_context)."""
        n = len(patches)
        if self.rung.code == "none":
            return torch.zeros(n, self.code_context.out_features)
        pictures = torch.from_numpy(patches).float() / 255 - 0.5
        with torch.no_grad():
            if self.embedder is None:
                z_q = self.model.product.decode(
                    self.model.product.indices(self.model.descriptor(pictures))
                )
            else:
                images = list(np.ascontiguousarray(patches.transpose(0, 2, 3, 1)))
                codes = self.embedder.codes(images)
                z_q = torch.from_numpy(self.embedder.quantizer.decode(codes))
                z_q = z_q / z_q.std().clamp_min(1e-6)
        e: Tensor = self.code_context(z_q)
        return e

    def steps(
        self, patches: NDArray[np.uint8], quality: Tensor
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor, Tensor]]]:
        """ŷ, and for each step latents, means, log2 of deviations and the mask."""
        pictures = torch.from_numpy(patches).float() / 255 - 0.5
        delta = quantiser_step(quality).view(-1, 1, 1, 1)
        with torch.no_grad():
            y = self.model.latent(pictures, quality)
        e = self.code(patches)
        y_hat, made = torch.zeros_like(y), []
        for index, step in enumerate(self.rung.steps):
            mask = parity_mask(step, y.shape[2], y.shape[3])
            mean, scale = self.model.predict(index, y_hat, e, quality)
            part = y[:, step.start : step.stop]
            made.append((part, mean, scale, mask.expand_as(part)))
            coded = quantise_about(part, mean, scale, delta).detach() * mask
            y_hat = y_hat.clone()
            y_hat[:, step.start : step.stop] += coded
        return y_hat, made


def learn(context: Context, sampler: PatchSampler, *, minutes: float) -> int:
    """Learn the context networks by the bits they cost; returns the number of steps."""
    optimiser = torch.optim.Adam(context.parameters(), lr=1e-3)
    begun, step = time.monotonic(), 0
    while (spent := (time.monotonic() - begun) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent))
        torch.manual_seed(step)
        patches, _ = sampler.batch(step, size=64)
        quality = torch.randint(24, 83, (len(patches),)).float()
        delta = quantiser_step(quality).view(-1, 1, 1, 1)
        _, made = context.steps(patches, quality)
        bits = [(gaussian_bits(y, m, s, delta) * mask).sum() for y, m, s, mask in made]
        loss = torch.stack(bits).sum() / len(patches) / 1024
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(context.parameters(), 1.0)
        optimiser.step()
        step += 1
    return step


@torch.no_grad()
def symbols(
    context: Context, patches: NDArray[np.uint8], quality: int
) -> tuple[Ints, Ints, NDArray[np.uint8]]:
    """Symbols, the table of each, and the pictures drawn."""
    q = torch.full((len(patches),), float(quality))
    delta = quantiser_step(q).view(-1, 1, 1, 1)
    y_hat, made = context.steps(patches, q)
    found, tables = [], []
    for y, mean, scale, mask in made:
        chosen = mask > 0
        found.append(torch.round((y - mean) / delta)[chosen])
        relative = (scale - torch.log2(delta))[chosen]
        tables.append(((relative - SCALE_LOW) * BINS_PER_OCTAVE).floor().clamp(0, TABLES - 1))
    levels = ((context.model.draw(y_hat, q) + 0.5).clamp(0, 1) * 255).round().byte().numpy()
    return torch.cat(found).long().numpy(), torch.cat(tables).long().numpy(), levels


def fitted(context: Context, patches: NDArray[np.uint8]) -> tuple[FrequencyTables, FrequencyTables]:
    """Gaussian tables, and those of the symbols seen on patches."""
    first = gaussian_tables(DEVIATIONS)
    seen = [symbols(context, patches, quality)[:2] for quality in QUALITIES]
    s, t = (np.concatenate(part) for part in zip(*seen, strict=True))
    return first, refit_tables(first, DEVIATIONS, s, t)


def measure(
    context: Context, toy: NDArray[np.uint8], patches: NDArray[np.uint8]
) -> list[dict[str, float]]:
    """Points of the curve on the toy database, under Gaussian and under refitted tables."""
    gaussian, refitted = fitted(context, patches)
    points = []
    for quality in QUALITIES:
        total, plain, psnrs = 0.0, 0.0, []
        for first in range(0, len(toy), 250):
            part = toy[first : first + 250]
            s, t, drawn = symbols(context, part, quality)
            total += refitted.cross_entropy(s, t)
            plain += gaussian.cross_entropy(s, t)
            mse = np.square(part.astype(float) - drawn).mean((1, 2, 3))
            psnrs.append(10 * np.log10(255**2 / np.maximum(mse, 255**2 / 1e6)))
        points.append(
            {
                "quality": quality,
                "psnr": float(np.concatenate(psnrs).mean()),
                "bits_per_image": total / len(toy),
                "bits_per_image_gaussian": plain / len(toy),
            }
        )
    return points


def compared(a: list[dict[str, float]], b: list[dict[str, float]], *, paid: float = 0) -> float:
    """BD-rate of b against a in percent, with bits an image paid on top of b."""
    rates_a, rates_b = ([p["bits_per_image"] for p in points] for points in (a, b))
    psnr_a, psnr_b = ([p["psnr"] for p in points] for points in (a, b))
    more = [rate + paid for rate in rates_b]
    return 100 * bd_rate(rates_a, psnr_a, more, psnr_b, low=LOW, high=HIGH)


def main() -> None:
    """Climb the ladder."""
    parser = argparse.ArgumentParser(description="Measure what parts of the context model save.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--minutes", type=float, default=2, help="of learning, for each rung")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = shipped_start("default")
    found = read_collection([open_source(args.cifar, split="train")], threads=args.threads)
    sampler = PatchSampler(found.images, seed=SEED)
    patches = calibration_patches(sampler, n=768)
    pictures = load_pictures("cifar10-toy", Folders(cifar=args.cifar))
    toy = np.stack(pictures.images).transpose(0, 3, 1, 2)
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[dict[str, float]]] = {}
    for rung in RUNGS:
        context = Context(start, rung)
        steps = learn(context, sampler, minutes=args.minutes)
        curves[rung.name] = points = measure(context, toy, patches)
        row: dict[str, Any] = {"rung": rung.name, "code": rung.code, "steps": steps}
        row["points"] = points
        base = curves[RUNGS[min(len(rows), 3) - 1].name] if rows else points
        row["against"] = RUNGS[min(len(rows), 3) - 1].name if rows else None
        row["bd_rate_percent"] = round(compared(base, points), 2)
        if rung.code != "none":
            row["bd_rate_percent_paid"] = round(compared(base, points, paid=CODE_BITS), 2)
        gaussian = [{**p, "bits_per_image": p["bits_per_image_gaussian"]} for p in points]
        row["refitted_tables_percent"] = round(compared(gaussian, points), 2)
        rows.append(row)
        print({key: value for key, value in row.items() if key != "points"}, flush=True)
    head = {"minutes": args.minutes, "threads": args.threads, "codec_id": start.codec_id}
    save_results(
        args.output, {**run_head(seed=SEED), **head, "range_db": [LOW, HIGH], "rows": rows}
    )


if __name__ == "__main__":
    main()
