"""What coding the low frequencies on a lattice saves, the transform left as it is.

    python -m benchmarks.lattice.gate --patches DIR --photographs DIR --cifar DIR \
        --work runs/lattice -o benchmarks/results/lattice_gate.json

The first two steps of the shipped codec, channels 0 to 8 on a checkerboard, are
replaced by the lattice, whose networks are trained here on patches of `training_patches.py` over
the frozen transform, all qualities in one. Bits are those that the networks estimate for the
symbols (both sides in the same way, before tables are fitted and symbols chosen), over all latents
of a picture, on pictures that neither has learned from: photographs of a folder, the held-out
pictures beside the patches, and CIFAR-10 test pictures. The transform and the other steps' networks
are the same on both sides, so that the pictures drawn are equal but for rounding about other means.
Beside the order, this side lacks the product code: the lattice's networks are not told it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.lattice.checkerboard import checkerboard_model
from benchmarks.measuring.data import Folders, load_pictures, thumbnail
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.errors import KinpackError
from kinpack.learn.lattice.context import LatticeContext
from kinpack.learn.lattice.patch_files import PatchFiles, Share
from kinpack.learn.models.bottlenecks import gaussian_bits, quantise_about
from kinpack.learn.models.model import QUALITY_CENTRE, CodecModel, quantiser_step
from kinpack.learn.models.networks import parity_mask
from kinpack.learn.training.loop import Budget, TrainingRun
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

LOW = 8
"""Channels on the lattice: those of the two steps that it replaces."""
REPLACED = 2
QUALITIES = (48, 64)
SIDES = (256, 128, 64)
TRAINED = (24, 82)
"""Qualities that are trained, the lowest and the highest."""
PIXELS = 1 << 16
COUNT = {256: 30, 128: 60, 64: 100, 32: 500}
"""Photographs of a folder, and CIFAR pictures, that are measured at each size at most."""


class Bits(NamedTuple):
    """Estimated bits of a picture, step by step.

    Attributes:
        low: of the first channels.
        others: of all other steps together.
        error: mean squared error of the picture drawn, on the 8-bit scale.
    """

    low: float
    others: float
    error: float


def frozen_model() -> CodecModel:
    """The weights, which nothing here changes."""
    model = checkerboard_model()
    steps = [(step.start, step.stop) for step in model.config.steps[:REPLACED]]
    if steps != [(0, LOW)] * REPLACED:
        raise KinpackError("the codec's first steps are others; this gate is of no use")
    return model.requires_grad_(False)


def code_of(model: CodecModel, picture: Tensor) -> Tensor:
    """What the product code contributes to the context, (n, code_context)."""
    small = torch.nn.functional.adaptive_avg_pool2d(picture, 32)
    indices = model.product.indices(model.descriptor(small))
    context: Tensor = model.code_context(model.product.decode(indices))
    return context


def told(quality: Tensor) -> Tensor:
    """What the lattice's networks are told of the quality, (n,)."""
    return (quality - QUALITY_CENTRE) / 20


def padded(image: Image) -> Tensor:
    """A picture (1, 3, H, W) in −0.5..0.5, its edges repeated to sides that are multiples of 8."""
    down, right = -image.shape[0] % 8, -image.shape[1] % 8
    image = np.pad(image, ((0, down), (0, right), (0, 0)), mode="edge")
    return torch.from_numpy(image.transpose(2, 0, 1).copy()).float()[None] / 255 - 0.5


@torch.no_grad()
def bits_of(model: CodecModel, image: Image, quality: int, lattice: LatticeContext | None) -> Bits:
    """Bits of a picture, with the shipped steps or with the lattice in place of the first two."""
    picture, q = padded(image), torch.tensor([float(quality)])
    y, e = model.latent(picture, q), code_of(model, picture)
    delta = quantiser_step(q).view(-1, 1, 1, 1)
    y_hat, low, others = torch.zeros_like(y), 0.0, 0.0
    if lattice is not None:
        y_hat[:, :LOW], lattice_bits = lattice(y[:, :LOW], told(q), delta.view(-1))
        low = float(lattice_bits.sum())
    for index, step in enumerate(model.config.steps):
        if index < REPLACED and lattice is not None:
            continue
        mask = parity_mask(step.parity, y)
        mean, scale = model.predict(index, y_hat, e, q)
        part = y[:, step.start : step.stop]
        y_hat[:, step.start : step.stop] += quantise_about(part, mean, scale, delta) * mask
        bits = float((gaussian_bits(part, mean, scale, delta) * mask).sum())
        low, others = (low + bits, others) if index < REPLACED else (low, others + bits)
    drawn = model.draw(y_hat, q)[:, :, : image.shape[0], : image.shape[1]]
    wanted = picture[:, :, : image.shape[0], : image.shape[1]]
    levels = (drawn.clamp(-0.5, 0.5) - wanted) * 255
    return Bits(low, others, float(levels.square().mean()))


def train(model: CodecModel, patches: PatchFiles, budget: Budget) -> LatticeContext:
    """Train the lattice's networks over the frozen transform."""
    torch.manual_seed(budget.seed)
    lattice = LatticeContext(LOW)

    def losses(number: int) -> dict[str, Tensor]:
        torch.manual_seed(budget.seed * 1_000_003 + number)
        picture = torch.from_numpy(patches.batch(number)).float() / 255 - 0.5
        quality = torch.randint(TRAINED[0], TRAINED[1] + 1, (len(picture),)).float()
        with torch.no_grad():
            y = model.latent(picture, quality)[:, :LOW]
        _, bits = lattice(y, told(quality), quantiser_step(quality))
        return {"loss": bits.sum() / (LOW * y[:, 0].numel())}

    TrainingRun(lattice, losses, budget).finish()
    return lattice


def measured_pictures(arguments: argparse.Namespace) -> Iterator[tuple[str, int, list[Image]]]:
    """Data set, size and pictures, of all that is measured."""
    listed = list(open_source(arguments.photographs))
    for side in SIDES:
        places = np.linspace(0, len(listed) - 1, min(len(listed), COUNT[side])).round()
        yield (
            arguments.photographs.name,
            side,
            [thumbnail(listed[int(i)].load(), side) for i in places],
        )
        with np.load(arguments.patches / f"held-out-{side}.npz") as held:
            yield "held out", side, [held[name] for name in held.files]
    toy = load_pictures("cifar10-toy", Folders(cifar=arguments.cifar)).images
    yield "cifar10-toy", 32, toy[:: max(1, len(toy) // COUNT[32])]


def measure(
    model: CodecModel, lattice: LatticeContext, name: str, side: int, images: list[Image]
) -> Iterator[dict[str, Any]]:
    """A row for each quality."""
    for quality in QUALITIES:
        found = {
            way: [bits_of(model, image, quality, network) for image in images]
            for way, network in (("checkerboard", None), ("lattice", lattice))
        }
        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        before, after = (
            sum(bits.low + bits.others for bits in found[way])
            for way in ("checkerboard", "lattice")
        )
        row: dict[str, Any] = {
            "data": name,
            "side": side,
            "images": len(images),
            "quality": quality,
            "change_percent": round(100 * (after / before - 1), 2),
        }
        for way, each in found.items():
            row[way] = {
                "bpp": round(sum(b.low + b.others for b in each) / pixels, 4),
                "low_bpp": round(sum(b.low for b in each) / pixels, 4),
                "psnr": round(float(np.mean([-10 * np.log10(b.error / 255**2) for b in each])), 3),
            }
        yield row


def run(arguments: argparse.Namespace) -> None:
    """Train, measure, write."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    model = frozen_model()
    folder: Path = arguments.patches
    names = (
        ("patches-128", 0.5),
        ("patches-64", 0.25),
        ("patches-32", 0.13),
        ("thumbnails-32", 0.12),
    )
    shares = [Share(folder / f"{name}.npy", weight) for name, weight in names]
    patches = PatchFiles(shares, pixels=PIXELS, seed=arguments.seed)
    arguments.work.mkdir(parents=True, exist_ok=True)
    budget = Budget(
        minutes=0,
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=2e-3,
        warm_up=100,
        checkpoint=arguments.work / "lattice.ckpt",
        log=lambda at: print(f"{at['progress']:.3f} {at['loss']:.4f} bits a symbol", flush=True),
    )
    lattice = train(model, patches, budget)
    seconds = time.perf_counter() - began
    rows = []
    for name, side, images in measured_pictures(arguments):
        for row in measure(model, lattice, name, side, images):
            rows.append(row)
            print(row, flush=True)
    about = {**run_head(seed=arguments.seed), "training_seconds": round(seconds, 1)}
    save_results(arguments.output, {"steps": arguments.steps, "rows": rows, "machine": about})


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Bits that the lattice saves.")
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cifar", type=Path, required=True, metavar="DIR")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"gate: {error}")


if __name__ == "__main__":
    main()
