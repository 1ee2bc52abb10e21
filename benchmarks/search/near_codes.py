"""How long it takes to find all pairs of near codes, and how many of them cells bring.

    python -m benchmarks.search.near_codes --folder DIR --codes 100000 --codes 1000000 \
        -o benchmarks/results/near_codes.json

Pictures of a folder are described by `look`; their vectors are repeated with noise, of 0.7 of each
component's deviation, until there are as many as asked for, and coded. All pairs within a distance
are looked for by the cells of ``kinpack dedup --quick``: for each code the nearest 16 at most. The
distance is that which so many codes would get. The share of pairs that cells bring is measured on
300 codes, for which all others are looked at. One thread; seconds are of the processor.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack import Describer
from kinpack.pictures.images import load_image
from kinpack.search.duplicates.cells import PROBES, Cells
from kinpack.search.duplicates.thresholds import reach

NOISE = 0.7
MOST = 16
AT_ONCE = 1 << 13
CHECKED = 300
SAMPLE = 2000


def vectors_of(folder: Path, many: int, describer: Describer) -> NDArray[np.float32]:
    """What the describer makes of the first pictures of a folder."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    return describer.describe([load_image(file, size=256) for file in files[:many]], threads=1)


def tiled(
    vectors: NDArray[np.float32], many: int, describer: Describer, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Packed codes of vectors that are repeated with noise."""
    deviation = NOISE * vectors.std(axis=0)
    parts = []
    for at in range(0, many, AT_ONCE):
        some = vectors[np.arange(at, min(at + AT_ONCE, many)) % len(vectors)]
        noisy = some + rng.normal(0, deviation, some.shape).astype(np.float32)
        parts.append(describer.quantiser.pack(describer.quantiser.encode(noisy)))
    return np.concatenate(parts)


def measure(packed: NDArray[np.uint8], describer: Describer, seed: int) -> dict[str, Any]:
    """A row of the result file."""
    rng = np.random.default_rng(seed)
    n, none = len(packed), np.zeros(0, np.float32)
    began = time.process_time()
    cells = Cells(packed, describer.searched, seed=seed)
    built = time.process_time()
    some = cells.vectors(np.sort(rng.permutation(n)[:SAMPLE]))
    squares = np.square(some).sum(axis=1)
    far = squares[:, None] + squares - 2 * some @ some.T
    within = reach(far[np.triu_indices(len(some), 1)], none, n, 1)
    pairs = 0
    for at in range(0, n, AT_ONCE):
        some_rows = cells.order[at : at + AT_ONCE]
        found = cells.near(cells.vectors(some_rows), within, most=MOST + 1)
        pairs += int((found.rows != some_rows[found.queries]).sum())
    scanned = time.process_time()
    rows = np.sort(rng.permutation(n)[:CHECKED])
    vectors = cells.vectors(rows)
    brought = cells.near(vectors, within, most=MOST + 1)
    whole = cells.near(vectors, within, most=MOST + 1, probes=cells.cells)
    counts = [int((one.rows != rows[one.queries]).sum()) for one in (brought, whole)]
    closer = within / 2
    near = [
        int(((one.rows != rows[one.queries]) & (one.distances <= closer)).sum())
        for one in (brought, whole)
    ]
    return {
        "codes": n,
        "cells": cells.cells,
        "probes": PROBES,
        "within": round(within, 4),
        "build_s": round(built - began, 1),
        "scan_s": round(scanned - built, 1),
        "pairs": pairs // 2,
        "recall": round(counts[0] / counts[1], 4) if counts[1] else None,
        "recall_of": counts[1],
        "recall_half_as_far": round(near[0] / near[1], 4) if near[1] else None,
        "recall_half_as_far_of": near[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
    }


def main() -> None:
    """Measure each size, and add its row to the result file."""
    parser = argparse.ArgumentParser(description="How long finding near codes takes.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--codes", type=int, action="append", required=True)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    describer = Describer.load("look")
    vectors = vectors_of(args.folder, args.pictures, describer)
    for many in args.codes:
        packed = tiled(vectors, many, describer, np.random.default_rng(args.seed))
        row = measure(packed, describer, args.seed)
        rows = [one for one in load_results(args.output).get("rows", []) if one["codes"] != many]
        rows = sorted([*rows, row], key=lambda one: int(one["codes"]))
        save_results(args.output, {**run_head(seed=args.seed), "rows": rows})
        print(row, flush=True)


if __name__ == "__main__":
    main()
