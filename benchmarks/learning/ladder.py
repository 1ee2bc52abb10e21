"""What each part of the context model saves: the ladder of docs/codec.md.

    python -m benchmarks.learning.ladder --cifar DIR -o benchmarks/results/ladder.json

The transforms stay those of the shipped codec. For each rung the context networks are learned anew,
in the same number of steps, on latents that are worked out once, and the toy database is quantised
and coded with frequency tables refitted on other training pictures. All rungs are climbed once for
each seed, which sets how networks start and the order of pictures; a rung is compared with the one
of its own seed, and told are all differences and their median. Bits are those that the integer
tables give to the symbols; true payloads are longer by 0.1 % and 3 bytes at most
(tests/test_entropy.py). After the rungs, parts of the shipped codec are switched off, one at a time
(`ladder_parts`), with true payloads.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lattice.checkerboard import checkerboard_model
from benchmarks.learning.ladder_latents import CODES as PRODUCT_CODES
from benchmarks.learning.ladder_latents import Latents, latents
from benchmarks.learning.ladder_parts import measure_parts
from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from benchmarks.rates.rate_curves import bd_rate_or_none
from kinpack.learn.freezing.scales import BINS_PER_OCTAVE
from kinpack.learn.freezing.tables import gaussian_tables, refit_tables
from kinpack.learn.models.bottlenecks import SCALE_HIGH, SCALE_LOW, gaussian_bits, quantise_about
from kinpack.learn.models.config import NetworkConfig, Step
from kinpack.learn.models.model import CodecModel, quantiser_step
from kinpack.learn.models.networks import parity_mask
from kinpack.learn.training.start_file import Start, shipped_start
from kinpack.learn.training.warm_start import take_over
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

QUALITIES = (24, 32, 40, 48, 56, 64, 72, 80)
LOWEST, HIGHEST = 24, 82
"""Qualities that are learned."""
LOW, HIGH = 26.0, 36.0
CODE_BITS = 64
DATA_SEED = 5
"""Which pictures are learned from."""
SEEDS = (5, 6, 7)
CODES = ("none", *PRODUCT_CODES)
"""What may be known of a picture beside its latents: nothing, the codec's code, that of `kin`."""
STEPS = 1200
BATCH = 64
LEARNED, FITTED = 24_576, 768
"""Pictures that context networks learn from, each at one quality, and that tables are fitted on."""
TABLES = int((SCALE_HIGH - SCALE_LOW) * BINS_PER_OCTAVE)
DEVIATIONS = 2.0 ** (SCALE_LOW + (np.arange(TABLES) + 0.5) / BINS_PER_OCTAVE)

Ints = NDArray[np.int64]
Made = tuple[Tensor, Tensor, Tensor, Tensor]
"""Latents of a step, their means, log2 of their deviations, and where they are coded."""


@dataclass(frozen=True)
class Rung:
    """One form of the context model.

    Attributes:
        name: for the table.
        steps: order of coding.
        code: which product code is context: "none", "own" or "kin".
        against: name of the rung it is compared with; None for the first.
    """

    name: str
    steps: tuple[Step, ...]
    code: str
    against: str | None


def rungs(network: NetworkConfig) -> list[Rung]:
    """The rungs, up to the form of a codec's own context model."""
    slices = tuple(dict.fromkeys(Step(step.start, step.stop, -1) for step in network.steps))
    whole = (Step(0, network.latent, -1),)
    none, sliced, full = "nothing known", "slices of channels", "slices and checkerboard"
    return [
        Rung(none, whole, "none", None),
        Rung("the product code alone, trained on reconstruction", whole, "own", none),
        Rung("a code aligned by class (kin) alone", whole, "kin", none),
        Rung(sliced, slices, "none", none),
        Rung(full, network.steps, "none", sliced),
        Rung("slices, checkerboard and the product code", network.steps, "own", full),
        Rung("slices, checkerboard and the code aligned by class", network.steps, "kin", full),
    ]


class Context:
    """Context networks of a rung over the shipped transforms.

    Args:
        start: weights of the shipped codec.
        rung: the form.
        code_size: numbers that stand for a code.
        seed: of the weights that are not taken over.
    """

    def __init__(self, start: Start, rung: Rung, *, code_size: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.rung = rung
        network = NetworkConfig.from_dict(start.network)
        self.model = CodecModel(replace(network, steps=rung.steps))
        take_over(self.model, start.state)
        self.model.eval()
        if rung.steps == network.steps:  # learned anew like the others
            for layer in self.model.context.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    layer.reset_parameters()
        self.code_context = torch.nn.Linear(code_size, network.code_context)

    def parameters(self) -> list[Tensor]:
        """What is learned."""
        return [*self.model.context.parameters(), *self.code_context.parameters()]

    def steps(self, part: Latents) -> tuple[Tensor, list[Made]]:
        """ŷ, and what each step codes."""
        delta = quantiser_step(part.quality).view(-1, 1, 1, 1)
        if self.rung.code == "none":
            e = torch.zeros(len(part), self.code_context.out_features)
        else:
            e = self.code_context(part.codes[self.rung.code])
        y_hat = torch.zeros_like(part.y)
        made: list[Made] = []
        for index, step in enumerate(self.rung.steps):
            mask = parity_mask(step.parity, y_hat)
            mean, scale = self.model.predict(index, y_hat, e, part.quality)
            y = part.y[:, step.start : step.stop]
            made.append((y, mean, scale, mask.expand_as(y)))
            coded = quantise_about(y, mean, scale, delta).detach() * mask
            y_hat = y_hat.clone()
            y_hat[:, step.start : step.stop] += coded
        return y_hat, made


def learn(context: Context, seen: Latents, *, steps: int, seed: int) -> None:
    """Learn the context networks by the bits they cost."""
    draws = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(context.parameters(), lr=1e-3)
    for step in range(steps):
        rate = min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * rate
        part = seen.rows(torch.randint(len(seen), (BATCH,), generator=draws))
        delta = quantiser_step(part.quality).view(-1, 1, 1, 1)
        _, made = context.steps(part)
        bits = [(gaussian_bits(y, m, s, delta) * mask).sum() for y, m, s, mask in made]
        loss = torch.stack(bits).sum() / len(part) / 1024
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(context.parameters(), 1.0)
        optimiser.step()


@torch.no_grad()
def symbols(context: Context, part: Latents) -> tuple[Ints, Ints, Tensor]:
    """Symbols, the table of each, and ŷ."""
    delta = quantiser_step(part.quality).view(-1, 1, 1, 1)
    y_hat, made = context.steps(part)
    found, tables = [], []
    for y, mean, scale, mask in made:
        chosen = mask > 0
        found.append(torch.round((y - mean) / delta)[chosen])
        relative = (scale - torch.log2(delta))[chosen]
        tables.append(((relative - SCALE_LOW) * BINS_PER_OCTAVE).floor().clamp(0, TABLES - 1))
    return torch.cat(found).long().numpy(), torch.cat(tables).long().numpy(), y_hat


@torch.no_grad()
def psnrs(context: Context, y_hat: Tensor, quality: Tensor, images: list[Image]) -> list[float]:
    """PSNR in dB of the pictures that latents draw, in floating point."""
    drawn = context.model.draw(y_hat, quality)
    levels = ((drawn + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    mse = np.square(np.stack(images).astype(np.float64) - levels).mean((1, 2, 3))
    values: list[float] = (10 * np.log10(255**2 / np.maximum(mse, 255**2 / 1e6))).tolist()
    return values


def measure(
    context: Context, toy: dict[int, Latents], images: list[Image], fitted: dict[int, Latents]
) -> list[dict[str, float]]:
    """Points of the curve on the toy database, under Gaussian and under refitted tables."""
    gaussian = gaussian_tables(DEVIATIONS)
    seen = [symbols(context, part)[:2] for part in fitted.values()]
    refitted = refit_tables(
        gaussian, DEVIATIONS, *(np.concatenate(part) for part in zip(*seen, strict=True))
    )
    points = []
    for quality, whole in toy.items():
        bits: dict[str, float] = {"bits_per_image": 0.0, "bits_per_image_gaussian": 0.0}
        values: list[float] = []
        for first in range(0, len(whole), 250):
            rows = slice(first, first + 250)
            s, t, y_hat = symbols(context, whole.rows(rows))
            for key, tables in zip(bits, (refitted, gaussian), strict=True):
                bits[key] += tables.cross_entropy(s, t) / len(whole)
            values += psnrs(context, y_hat, whole.quality[rows], images[rows])
        points.append({"quality": quality, "psnr": float(np.mean(values)), **bits})
    return points


def compared(
    a: list[dict[str, float]], b: list[dict[str, float]], *, paid: float = 0
) -> float | None:
    """BD-rate of b against a in percent, with bits an image paid on top of b; None if too short."""
    curves = [
        sorted((p["psnr"], p["bits_per_image"] + more) for p in points)
        for points, more in ((a, 0), (b, paid))
    ]
    found = bd_rate_or_none(curves[0], curves[1], (LOW, HIGH))
    return None if found is None else round(100 * found, 2)


def climb(
    start: Start,
    seen: Latents,
    measured: Callable[[Context], list[dict[str, float]]],
    *,
    steps: int,
    seed: int,
    kept: Mapping[str, list[dict[str, float]]],
) -> list[dict[str, Any]]:
    """Learn and measure rungs with one seed: what each saves against the one it stands on.

    Args:
        start: weights of the shipped codec.
        seen: what is learned from.
        measured: gives the points of a rung's curve.
        steps: of learning.
        seed: how networks start, and the order of pictures.
        kept: curves of rungs that are not learned again, by name.
    """
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[dict[str, float]]] = {}
    for rung in rungs(NetworkConfig.from_dict(start.network)):
        if rung.name in kept:
            points = kept[rung.name]
        else:
            words = seen.codes.get(rung.code, seen.codes["own"])
            context = Context(start, rung, code_size=words.shape[1], seed=seed)
            learn(context, seen, steps=steps, seed=seed)
            points = measured(context)
        curves[rung.name] = points
        row: dict[str, Any] = {"rung": rung.name, "code": rung.code, "against": rung.against}
        if rung.against is not None:
            row["bd_rate_percent"] = compared(curves[rung.against], points)
            if rung.code != "none":
                row["bd_rate_percent_paid"] = compared(curves[rung.against], points, paid=CODE_BITS)
        gaussian = [{**p, "bits_per_image": p["bits_per_image_gaussian"]} for p in points]
        row["refitted_tables_percent"] = compared(gaussian, points)
        print(f"seed {seed}:", row, flush=True)
        rows.append({**row, "seed": seed, "points": points})
    return rows


def summed_up(runs: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each rung: the median over seeds of what it saves, and the same of every seed."""
    rows = []
    for those in zip(*runs, strict=True):
        row = {key: those[0][key] for key in ("rung", "code", "against")}
        for key in ("bd_rate_percent", "bd_rate_percent_paid", "refitted_tables_percent"):
            values = [one[key] for one in those if one.get(key) is not None]
            if values:
                row[key] = round(statistics.median(values), 2)
                row[f"{key}_of_seeds"] = values
        rows.append(
            {**row, "runs": [{"seed": one["seed"], "points": one["points"]} for one in those]}
        )
    return rows


def kept_curves(output: Path, seed: int, codes: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """Curves of an earlier run with a seed: those of rungs with other codes than these."""
    if not output.exists():
        return {}
    return {
        row["rung"]: run["points"]
        for row in json.loads(output.read_text())["rows"]
        for run in row["runs"]
        if run["seed"] == seed and row["code"] not in codes
    }


def main() -> None:
    """Climb the ladder."""
    parser = argparse.ArgumentParser(description="Measure what parts of the context model save.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning, for each rung")
    parser.add_argument("--images", type=int, help="measure so many pictures only, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one climb for each")
    parser.add_argument(
        "--codes",
        nargs="+",
        choices=CODES,
        default=CODES,
        help="rungs with these codes are climbed; the others are kept as the output file has them",
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    began = time.monotonic()
    start = shipped_start("checkerboard")
    rng = np.random.default_rng(DATA_SEED)
    items = list(open_source(args.cifar, split="train"))
    chosen = rng.permutation(len(items))[: LEARNED + FITTED].tolist()
    learned = [items[i].load() for i in chosen]
    pictures = load_pictures("cifar10-toy", Folders(cifar=args.cifar))
    pictures = pictures if args.images is None else pictures.sample(args.images, seed=DATA_SEED)
    images = pictures.images
    model = checkerboard_model()

    def at(those: list[Image], quality: int) -> Latents:
        return latents(model, those, np.full(len(those), quality))

    seen = latents(model, learned[:LEARNED], rng.integers(LOWEST, HIGHEST + 1, LEARNED))
    toy = {quality: at(images, quality) for quality in QUALITIES}
    fitted = {quality: at(learned[LEARNED:], quality) for quality in QUALITIES}
    print(f"latents after {time.monotonic() - began:.0f} s", flush=True)

    def measured(context: Context) -> list[dict[str, float]]:
        return measure(context, toy, images, fitted)

    runs = [
        climb(
            start,
            seen,
            measured,
            steps=args.steps,
            seed=seed,
            kept=kept_curves(args.output, seed, args.codes),
        )
        for seed in args.seeds
    ]
    parts = measure_parts(images, QUALITIES, threads=args.threads, span=(LOW, HIGH))
    for part in parts:
        print({key: value for key, value in part.items() if key != "points"}, flush=True)
    head = {
        "steps": args.steps,
        "seeds": list(args.seeds),
        "batch": BATCH,
        "learned_from": LEARNED,
        "tables_from": FITTED,
        "images": len(images),
        "threads": args.threads,
        "torch": torch.__version__,
        "codec_id": start.codec_id,
        "seconds": round(time.monotonic() - began),
        "range_db": [LOW, HIGH],
    }
    save_results(
        args.output, {**run_head(seed=DATA_SEED), **head, "rows": summed_up(runs), "parts": parts}
    )


if __name__ == "__main__":
    main()
