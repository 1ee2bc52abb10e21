"""Bytes of flat colours and of gradients at 45 dB: the learned payload beside AVIF's.

    python -m benchmarks.rates.flat_pictures -o benchmarks/results/flat_pictures.json

Eight pictures of each, 256 × 256, drawn from numbers. Of each codec the lowest quality counts that
reaches 45 dB: the learned payload without its 8-byte code, AVIF's at speed 4 without its header.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lattice.rendered_pictures import flat, gradient
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from benchmarks.rates.rivals import AVIF, code
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.metrics import psnr
from kinpack.pictures.images import Image

SIDE, COUNT, WANTED, STEP = 256, 8, 45.0, 4
PICTURES: dict[str, Callable[[int, int], Image]] = {"flat": flat, "gradient": gradient}


def least_reaching(
    make: Callable[[int], tuple[int, float]], qualities: tuple[int, int], wanted: float = WANTED
) -> tuple[int, int, float] | None:
    """The lowest quality that reaches a PSNR: found among every fourth, then just below it.

    Args:
        make: gives bytes, and PSNR in dB, from a quality.
        qualities: lowest and highest.
        wanted: PSNR in dB.

    Returns:
        Quality, bytes and PSNR; None where none of those tried reaches it.
    """
    lowest, highest = qualities
    for high in (*range(lowest, highest, STEP), highest):
        found = (high, *make(high))
        if found[2] < wanted:
            continue
        for quality in range(max(lowest, high - STEP + 1), high):
            lower = (quality, *make(quality))
            if lower[2] >= wanted:
                return lower
        return found
    return None


def learned(codec: Codec, image: Image, quality: int) -> tuple[int, float]:
    """Bytes of the learned payload, and the PSNR of what is drawn of it."""
    packets = codec.encode([image], quality=quality, classic="never")
    return len(packets[0].payload), psnr(image, codec.decode(packets)[0])


def avif(image: Image, quality: int) -> tuple[int, float]:
    """The same of AVIF."""
    _, payload, drawn = code(image, AVIF, quality)
    return payload, psnr(image, drawn)


def row(codec: Codec, kind: str, number: int, side: int = SIDE) -> dict[str, Any]:
    """One picture: ``quality``, ``bytes`` and ``psnr`` of each codec, None where it falls short."""
    image = PICTURES[kind](number, side)
    found = {
        "learned": least_reaching(lambda q: learned(codec, image, q), (1, 99)),
        "avif": least_reaching(lambda q: avif(image, q), AVIF.qualities),
    }
    measured = {
        name: None if one is None else dict(zip(("quality", "bytes", "psnr"), one, strict=True))
        for name, one in found.items()
    }
    return {"kind": kind, "number": number, **measured}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean bytes of each kind, of those pictures that both codecs reach, and how many there are."""
    found = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        both = [row for row in own if row["learned"] and row["avif"]]
        means = {
            name: round(float(np.mean([row[name]["bytes"] for row in both])), 1) if both else None
            for name in ("learned", "avif")
        }
        most = max((row["learned"]["bytes"] for row in both), default=None)
        found.append(
            {"kind": kind, "images": len(own), "reached": len(both), **means, "most": most}
        )
    return found


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write."""
    codec = Codec.load(arguments.codec)
    rows = []
    for kind in PICTURES:
        for number in range(COUNT):
            rows.append(row(codec, kind, number))
            print(rows[-1], flush=True)
    about = {**run_head(seed=0), "codec": {"name": codec.name, "codec_id": codec.codec_id}}
    save_results(
        arguments.output,
        {
            "side": SIDE,
            "wanted_db": WANTED,
            "summary": summary(rows),
            "rows": rows,
            "machine": about,
        },
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Bytes of flat colours and gradients.")
    parser.add_argument("--codec", default="default", help="default, or a .kinc file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"flat_pictures: {error}")


if __name__ == "__main__":
    main()
