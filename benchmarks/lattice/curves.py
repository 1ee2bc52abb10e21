"""Estimated rate and quality of a training run of `train.py` beside AVIF's payloads.

    python -m benchmarks.lattice.curves --checkpoint runs/codec/last.ckpt --patches DIR \
        --photographs DIR --cifar DIR --work runs/curves -o benchmarks/results/lattice_curves.json

Pictures are photographs of a folder that nothing is learned from, the held-out pictures beside the
patches, and CIFAR-10 test pictures. Our networks have the averaged weights. Our bytes are those of
real messages of the frozen context, tables fitted and symbols chosen by cost, drawn by the float
synthesis; with --estimated those that the networks estimate before that. 8 bytes of code are
counted. Beside them stand learned payloads of the codec that ships. AVIF's are real payloads (speed
4, 4:4:4, tune=psnr, header stripped). PSNR is of RGB, SSIM of BT.601 luma with Gaussian windows of
11 pixels, each the mean over pictures; BD-rate by SSIM is over its decibels, −10·log10(1 − SSIM). A
row is added to the result file for each state of the run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lattice.gate import measured_pictures, padded
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack.codec.classic.avif import decode_avif, encode_avif
from kinpack.codec.codec import Codec
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.errors import KinpackError
from kinpack.learn.freezing.lattice_freeze import frozen_coder
from kinpack.learn.freezing.scales import LIMIT, UNIT
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.run import averaged_model
from kinpack.learn.training.loop import read_checkpoint
from kinpack.metrics import MetricError, bd_rate, psnr
from kinpack.pictures.images import Image

OURS = (24, 32, 40, 48, 56, 64, 72, 80, 88)
AVIF = (12, 24, 36, 46, 56, 64, 72, 80, 88, 94)
SPANS = {32: (26.0, 36.0), 64: (28.0, 38.0), 128: (28.0, 38.0), 256: (28.0, 38.0)}
"""PSNR, in dB, over which rates are compared, for each size."""
CODE_BYTES = 8
PRINTED = ("psnr", "shipped_psnr", "ssim", "shipped_ssim")
CALIBRATION = (("patches-128", 16), ("patches-64", 24), ("patches-32", 48), ("thumbnails-32", 48))

Point: TypeAlias = tuple[float, float, float]
"""Bits a pixel, PSNR in dB, SSIM in dB, of a set of pictures at one setting."""


def ssim(a: Image, b: Image) -> float:
    """SSIM of the luma of two pictures, Gaussian windows of 11 pixels, σ = 1.5."""
    x, y = (_luma(image) for image in (a, b))
    moments = torch.cat([x, y, x * x, y * y, x * y])[:, None]
    taps = torch.exp(-((torch.arange(11.0) - 5) ** 2) / 4.5).double()
    taps = taps / taps.sum()
    for shape in ((1, 1, 11, 1), (1, 1, 1, 11)):
        moments = torch.nn.functional.conv2d(moments, taps.view(shape))
    mean_x, mean_y, xx, yy, xy = moments[:, 0]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    rest = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return float((luminance * rest).mean())


def _luma(image: Image) -> Tensor:
    weights = np.array([0.299, 0.587, 0.114])
    return torch.from_numpy(image.astype(np.float64) @ weights)[None]


def point(images: Sequence[Image], coded: Sequence[tuple[float, Image]]) -> Point:
    """A point of a curve, of pictures and of their bytes and what is drawn of them."""
    pixels = sum(image.shape[0] * image.shape[1] for image in images)
    pairs = [(image, drawn) for image, (_, drawn) in zip(images, coded, strict=True)]
    similar = float(np.mean([ssim(a, b) for a, b in pairs]))
    return (
        8 * sum(size for size, _ in coded) / pixels,
        float(np.mean([psnr(a, b) for a, b in pairs])),
        float(-10 * np.log10(1 - similar)),
    )


def calibration(folder: Path) -> list[NDArray[np.uint8]]:
    """Patches to freeze the context with: the first of each file."""
    found = []
    for name, count in CALIBRATION:
        patches = np.load(folder / f"{name}.npy", mmap_mode="r")[:count]
        found.append(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))
    return found


@torch.no_grad()
def ours(
    model: LatticeModel, coder: LatticeCoder | None, image: Image, quality: int
) -> tuple[float, Image]:
    """Bytes of a picture with its code, estimated where there is no coder, and what is drawn."""
    picture, q = padded(image), torch.tensor([float(quality)])
    if coder is None:
        out = model(picture, q)
        n_bytes, drawn = float(out.bits.sum()) / 8, out.picture
    else:
        y = model.latent(picture, q).double().numpy() * UNIT
        y_hat, (message,) = coder.encode(y.clip(-LIMIT, LIMIT), quality=np.array([quality]))
        n_bytes, drawn = len(message), model.draw(torch.from_numpy(y_hat / UNIT).float(), q)
    levels = ((drawn[0] + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return CODE_BYTES + n_bytes, levels[: image.shape[0], : image.shape[1]].copy()


def avif(image: Image, quality: int) -> tuple[float, Image]:
    """Bytes of an AVIF payload, and what is drawn."""
    payload = encode_avif(image, avif_quality=quality)
    height, width, channels = image.shape
    return len(payload), decode_avif(payload, width=width, height=height, channels=channels)


def curve(
    images: Sequence[Image],
    code: Callable[[Image, int], tuple[float, Image]],
    qualities: Sequence[int],
) -> list[Point]:
    """Points at several qualities."""
    return [point(images, [code(image, quality) for image in images]) for quality in qualities]


def shipped(codec: Codec, image: Image, quality: int) -> tuple[float, Image]:
    """Bytes of a learned payload of the codec that ships with its code, and what is drawn."""
    codes = codec.quantiser.encode(codec.describe([image]))
    payloads, drawn = codec.learned_coder().encode([image], codes, quality=quality)
    return CODE_BYTES + len(payloads[0]), drawn[0]


def kept_curve(
    file: Path,
    images: Sequence[Image],
    code: Callable[[Image, int], tuple[float, Image]],
    qualities: Sequence[int],
) -> list[Point]:
    """A rival's curve, from a file if it was measured before."""
    if file.exists():
        return [(rate, value, similar) for rate, value, similar in json.loads(file.read_text())]
    points = curve(images, code, qualities)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(points))
    return points


def compared(
    mine: list[Point], theirs: list[Point], axis: int, wanted: tuple[float, float] | None
) -> dict[str, Any]:
    """BD-rate of ours against theirs, %, over what both cover of the range that is wanted."""
    sides = [[p[axis] for p in points] for points in (mine, theirs)]
    low, high = max(map(min, sides)), min(map(max, sides))
    if wanted is not None:
        low, high = max(low, wanted[0]), min(high, wanted[1])
    rates = [[p[0] for p in points] for points in (mine, theirs)]
    try:
        value = bd_rate(rates[1], sides[1], rates[0], sides[0], low=low, high=high)
    except MetricError:
        return {"percent": None}
    return {"percent": round(100 * value, 2), "from": round(low, 2), "to": round(high, 2)}


def rows(
    arguments: argparse.Namespace, model: LatticeModel, coder: LatticeCoder | None
) -> Iterator[dict[str, Any]]:
    """A row for each set of pictures."""
    codec = Codec.load("default", threads=1)
    for name, side, images in measured_pictures(arguments):
        if side not in arguments.sides:
            continue
        chosen = images[:: max(1, len(images) // arguments.images)]
        what = f"{name.replace(' ', '-')}-{side}-{len(chosen)}.json"
        theirs = kept_curve(arguments.work / f"avif-{what}", chosen, avif, AVIF)
        now = kept_curve(
            arguments.work / f"{codec.codec_id[:12]}-{what}",
            chosen,
            lambda image, quality: shipped(codec, image, quality),
            OURS,
        )
        mine = curve(chosen, lambda image, quality: ours(model, coder, image, quality), OURS)
        yield {
            "data": name,
            "side": side,
            "images": len(chosen),
            "psnr": compared(mine, theirs, 1, SPANS[side]),
            "ssim": compared(mine, theirs, 2, None),
            "shipped_psnr": compared(now, theirs, 1, SPANS[side]),
            "shipped_ssim": compared(now, theirs, 2, None),
            "curve": [[round(value, 4) for value in each] for each in mine],
            "shipped": [[round(value, 4) for value in each] for each in now],
            "avif": [[round(value, 4) for value in each] for each in theirs],
        }


def run(arguments: argparse.Namespace) -> None:
    """Measure the checkpoint and add what was found to the results."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = read_checkpoint(arguments.checkpoint)
    model = averaged_model(arguments.checkpoint)
    coder = None if arguments.estimated else frozen_coder(model, calibration(arguments.patches))
    found: dict[str, Any] = {
        "bytes": "estimated" if coder is None else "of messages",
        "step": state["step"],
        "hours": round(state["seconds"] / 3600, 3),
        "training": state["training"],
        "network": state["network"],
        "rows": [],
    }
    for row in rows(arguments, model, coder):
        found["rows"].append(row)
        print(row["data"], row["side"], *(row[key]["percent"] for key in PRINTED), flush=True)
    results = load_results(arguments.output)
    known = [each for each in results.get("states", []) if each["step"] != found["step"]]
    save_results(arguments.output, {"states": [*known, found], "machine": run_head(seed=0)})


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Curves of a training run.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cifar", type=Path, required=True, metavar="DIR")
    parser.add_argument("--work", type=Path, required=True, help="folder of AVIF's curves")
    parser.add_argument("--images", type=int, default=20, help="pictures of each set at most")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--estimated", action="store_true", help="estimate bytes, which is faster")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"curves: {error}")


if __name__ == "__main__":
    main()
