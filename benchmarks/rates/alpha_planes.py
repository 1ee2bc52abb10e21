"""What alpha planes take, classic and coded pixel by pixel, and what of a BD-rate they are.

    python -m benchmarks.rates.alpha_planes --emoji DIR --codec FILE.kinc \
        --rates benchmarks/results/bd_rate.json -o benchmarks/results/alpha_planes.json

In `bd_rate.py` AVIF's colours lie beside the shortest classic alpha part (lossless WebP, deflate or
LZMA), as an application without kinpack would keep them. Here the curve of AVIF is also taken with
the alpha parts of the codec, so that the colours alone are compared; and with AVIF's own alpha.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack.codec.classic.alpha import encode_alpha
from kinpack.codec.codec import Codec
from kinpack.codec.packets.payload import AlphaPlanes
from kinpack.codec.parts import CodecParts
from kinpack.errors import KinpackError
from kinpack.metrics import bd_rate
from kinpack.networks.container import read_container
from kinpack.pictures.images import Image

LOW, HIGH = 28, 38


def own_alpha(codec: Codec) -> AlphaPlanes:
    """Coder of alpha planes of a codec that has one."""
    alpha = CodecParts(read_container(codec.to_bytes(), where="the codec")).payloads().alpha
    if alpha is None:
        raise KinpackError(f"codec {codec.name!r} has not learned to code alpha planes")
    return alpha


def avif_alpha(image: Image) -> int:
    """Bytes of an exact grey AVIF of the alpha plane, less those of one of a single pixel."""

    def size(plane: np.ndarray[Any, Any]) -> int:
        file = io.BytesIO()
        PIL.Image.fromarray(plane).save(file, "AVIF", quality=100, speed=4)
        return len(file.getvalue())

    return size(image[:, :, 3]) - size(np.zeros((1, 1), np.uint8))


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description="What alpha planes take.")
    parser.add_argument("--emoji", type=Path, required=True, metavar="DIR")
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--rates", type=Path, required=True, help="results of bd_rate.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    pictures = load_pictures("emoji", Folders(emoji=args.emoji)).images
    codec = Codec.load(args.codec)
    alpha = own_alpha(codec)
    began = time.perf_counter()
    own = [len(part) for part in alpha.parts(pictures)]
    seconds = time.perf_counter() - began
    classic = [len(encode_alpha(np.ascontiguousarray(image[:, :, 3]))) for image in pictures]
    in_avif = [avif_alpha(image) for image in pictures]
    shortest = sum(map(min, own, classic))
    curves = load_results(args.rates)["curves"]["emoji"]
    avif = [(p["psnr_db"], p["bytes"]) for p in curves["avif-payload-s4"]]
    rows = []
    for rule in ("never", "auto"):
        ours = [(p["psnr_db"], p["bytes"]) for p in curves[f"kinpack-{rule}-payload"]]
        for alphas, more in (
            ("the shortest classic one", 0),
            ("this codec's", shortest - sum(classic)),
            ("AVIF's own", sum(in_avif) - sum(classic)),
        ):
            value = bd_rate(
                [rate + more for _, rate in avif],
                [psnr for psnr, _ in avif],
                [rate for _, rate in ours],
                [psnr for psnr, _ in ours],
                low=LOW,
                high=HIGH,
            )
            rows.append(
                {
                    "classic": rule,
                    "alpha_of_avif": alphas,
                    "bd_rate_percent": round(100 * value, 2),
                }
            )
    save_results(
        args.output,
        {
            "images": len(pictures),
            "codec_id": codec.codec_id,
            "bytes_an_image": {
                "causal": round(float(np.mean(own)), 1),
                "classic": round(float(np.mean(classic)), 1),
                "avif": round(float(np.mean(in_avif)), 1),
            },
            "causal_longer_than_classic": sum(a > b for a, b in zip(own, classic, strict=True)),
            "encoded_a_second": round(len(pictures) / seconds, 1),
            "range_db": [LOW, HIGH],
            "rows": rows,
            "machine": run_head(seed=0),
        },
    )


if __name__ == "__main__":
    main()
