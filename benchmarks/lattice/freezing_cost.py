"""What integers cost: a training run frozen, beside the same run frozen more finely or not at all.

    python -m benchmarks.lattice.freezing_cost --checkpoint runs/codec/last.ckpt --patches DIR \
        -o benchmarks/results/lattice_freezing.json

Pictures are the held-out ones beside the patches. Rows with `weights` tell what the largest weight
of the context networks' last layers is: the bytes of real messages, and the PSNR, in dB, drawn by
the float synthesis, of each context; where means are coarse, both suffer. `bytes_psnr` is the PSNR
of the same messages drawn by the synthesis in bytes, which is what ships.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.lattice.freeze import calibration
from benchmarks.lattice.gate import padded
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.errors import KinpackError
from kinpack.learn.freezing import lattice_freeze
from kinpack.learn.freezing.lattice_codec import byte_synthesis_of
from kinpack.learn.freezing.lattice_freeze import frozen_coder, latents_in_units
from kinpack.learn.freezing.scales import LIMIT, UNIT
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.run import averaged_model
from kinpack.learn.training.loop import read_checkpoint
from kinpack.metrics import psnr
from kinpack.networks.integer_network import ByteNetwork
from kinpack.pictures.images import Image

WEIGHTS = (127, 2047, 8191)
QUALITIES = (40, 56, 72)
COUNT = {64: 24, 256: 10}


def held_out(folder: Path, side: int) -> list[Image]:
    """The first held-out pictures of a size."""
    with np.load(folder / f"held-out-{side}.npz") as kept:
        return [kept[name] for name in kept.files[: COUNT[side]]]


def levels(drawn: NDArray[Any], image: Image) -> Image:
    """Levels of what is drawn, (1, 3, H, W) of 0 to 255, cut to a picture's size."""
    whole = drawn[0].clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(whole[: image.shape[0], : image.shape[1]])


@torch.no_grad()
def coded(
    model: LatticeModel, coder: LatticeCoder, drawing: ByteNetwork, image: Image, quality: int
) -> tuple[int, float, float]:
    """Bytes of a picture, and its PSNR drawn in float and in bytes."""
    q = torch.tensor([float(quality)])
    pixels = ((padded(image) + 0.5) * 255).round().byte().numpy()
    y = latents_in_units(model, pixels, quality)
    y_hat, (message,) = coder.encode(y, quality=np.array([quality]))
    in_float = 255 * (model.draw(torch.from_numpy(y_hat / UNIT).float(), q).numpy() + 0.5)
    plane = np.full((1, 1, *y_hat.shape[2:]), quality - 50)
    in_bytes = drawing(np.concatenate([y_hat, plane], 1).astype(np.float32))
    by_float, by_bytes = (psnr(image, levels(one, image)) for one in (in_float, in_bytes))
    return len(message), by_float, by_bytes


def run(arguments: argparse.Namespace) -> None:
    """Freeze, measure and write."""
    torch.set_num_threads(1)
    model, patches = averaged_model(arguments.checkpoint), calibration(arguments.patches)
    drawing = ByteNetwork(
        byte_synthesis_of(model, patches), reach=LIMIT, name="synthesis", threads=1
    )
    rows: list[dict[str, Any]] = []
    for weights in WEIGHTS:
        with mock.patch.object(lattice_freeze, "WIDE_WEIGHT", weights):
            coder = frozen_coder(model, patches)
        for side in COUNT:
            pictures = held_out(arguments.patches, side)
            for quality in QUALITIES:
                found = [coded(model, coder, drawing, one, quality) for one in pictures]
                n_bytes, in_float, in_bytes = np.mean(found, axis=0)
                rows.append(
                    {
                        "weights": weights,
                        "side": side,
                        "quality": quality,
                        "pictures": len(pictures),
                        "bytes": round(float(n_bytes), 1),
                        "psnr": round(float(in_float), 4),
                        "bytes_psnr": round(float(in_bytes), 4),
                    }
                )
                print(rows[-1], flush=True)
    state = read_checkpoint(arguments.checkpoint)
    about = {**run_head(seed=0), "step": state["step"]}
    save_results(arguments.output, {"rows": rows, "machine": about})


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Measures what integers cost.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("-o", "--output", type=Path, required=True)
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"freezing_cost: {error}")


if __name__ == "__main__":
    main()
