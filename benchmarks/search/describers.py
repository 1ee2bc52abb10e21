"""How well codes find kin: the codecs' own and those of describers, on pictures not learned from.

    python -m benchmarks.search.describers --cifar DIR --fashion DIR --emoji DIR \
        [--describer FILE ...] -o benchmarks/results/describers.json

Each picture is searched for among the others of its set by symmetric distances. Told is the share
of pictures of its class among the 10 and the 100 nearest, beside the share that chance finds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from kinpack.describers.describer import SHIPPED, Describer
from kinpack.describers.describing import Describes, product_codes
from kinpack.pictures.images import Image
from kinpack.sources.opening import open_source

NEAREST = (10, 100)
FASHION = 2000
"""Pictures of Fashion-MNIST, the first of its test split."""

Coder = tuple[str, Describes]
Labelled = tuple[list[Image], NDArray[np.int64]]


def coders(describers: Sequence[str]) -> list[Coder]:
    """Name of each code, and what makes it."""
    loaded = map(Describer.load, describers)
    return [(f"describer {describer.name}", describer) for describer in loaded]


def sets(args: argparse.Namespace) -> dict[str, Labelled]:
    """The pictures of each set that a folder was given for, and their classes."""
    folders = Folders(cifar=args.cifar, emoji=args.emoji)
    given = [("cifar10-toy", args.cifar), ("emoji", args.emoji)]
    loaded = {name: load_pictures(name, folders) for name, folder in given if folder}
    found = {n: _labelled([i.label for i in p.items], p.images) for n, p in loaded.items()}
    if args.fashion:
        items = list(islice(open_source(args.fashion, split="test"), FASHION))
        labels = [item.label for item in items]
        found["fashion-mnist-test"] = _labelled(labels, [item.load() for item in items])
    return found


def kin_shares(decoded: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[int, float]:
    """Share of a picture's class among its nearest others, the mean over pictures, by how many.

    Args:
        decoded: (n, D) vectors that the codes stand for: their distances are those of the tables.
        labels: (n,) classes.
    """
    x = decoded.astype(np.float64)
    lengths = np.square(x).sum(axis=1)
    distance = lengths[:, None] + lengths - 2 * (x @ x.T)
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, : max(NEAREST)]
    same = labels[order] == labels[:, None]
    return {at: float(same[:, :at].mean()) for at in NEAREST}


def measure(name: str, coder: Coder, pictures: Labelled) -> dict[str, Any]:
    """One row of the result file."""
    title, describer = coder
    quantiser = describer.quantiser
    images, labels = pictures
    began = time.process_time()
    codes = product_codes(describer, images)
    spent = time.process_time() - began
    same = labels[:, None] == labels
    shares = kin_shares(quantiser.decode(codes), labels)
    return {
        "data": name,
        "pictures": len(images),
        "codes": title,
        "bytes": quantiser.code_bytes,
        "chance": round(float((same.sum() - len(labels)) / (same.size - len(labels))), 4),
        **{f"kin_among_{at}": round(share, 4) for at, share in shares.items()},
        "processor_ms_a_picture": round(1000 * spent / len(images), 2),
    }


def _labelled(names: Sequence[str | None], images: list[Image]) -> Labelled:
    labels: NDArray[np.int64] = np.unique([n or "" for n in names], return_inverse=True)[1]
    return images, labels


def main() -> None:
    """Measure every code on every set, and write the result file."""
    parser = argparse.ArgumentParser(description="How well codes find kin.")
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--fashion", type=Path)
    parser.add_argument("--emoji", type=Path)
    parser.add_argument("--describer", action="append", help="by default those that ship")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    found = sets(args)
    rows = []
    for coder in coders(args.describer or list(SHIPPED)):
        for name, pictures in found.items():
            rows.append(measure(name, coder, pictures))
            Console(stderr=True).print(json.dumps(rows[-1]))
    head = run_head(seed=0)
    args.output.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
