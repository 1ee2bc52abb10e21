"""Photographs, whole and as thumbnails: kinpack's payloads beside ordinary codecs.

    python -m benchmarks.rates.photographs --photographs DIR --work runs/photographs \
        --codec default -o benchmarks/results/photographs.json

The photographs that none of the shipped codecs has seen are measured whole and reduced to a shorter
side of 256 pixels (a part of them, evenly spread) and of 128 and 64 pixels (all of them), with
classic payloads allowed (classic auto) and without. A figure is drawn beside the result file. JPEG
XL takes part where the package ``pillow-jxl-plugin`` is installed. Finished points are kept in
--work, as by bd_rate.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.data import Pictures, thumbnail, transformed
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.rates.bd_rate import Entrant, kept, measure_data, ours, print_table
from benchmarks.rates.bd_rows import CLASSIC, bd_rows, curve_points
from benchmarks.rates.contenders import Theirs
from benchmarks.rates.photographs_plot import draw
from benchmarks.rates.point_store import PointStore
from benchmarks.rates.rate_distortion import Plan
from benchmarks.rates.rivals import AVIF, JPEG, JPEG_XL, WEBP, has_jpeg_xl, jpeg_xl_version
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

SIZES = {"whole": None, "256": 256, "128": 128, "64": 64}
"""Shorter side, in pixels, to which photographs are reduced."""
PLAN = Plan(28, 38, points=7, sample=12)
COUNTS = {"whole": 16, "256": 40}
"""Photographs of the large sizes; of the others all. So two idle cores take about ten minutes."""
FILES = ("webp-file", "jpeg-file", "jxl-file")
"""Rivals that are counted as whole files; ours and AVIF's are payloads."""


def photographs(folder: Path, size: str, *, count: int | None) -> Pictures:
    """Photographs of a folder, evenly spread over it, reduced to a size of ``SIZES``."""
    listed = list(open_source(folder))
    if count is not None and count < len(listed):
        places = sorted({round(x) for x in np.linspace(0, len(listed) - 1, count)})
        listed = [listed[i] for i in places]
    shorter = SIZES[size]
    loaded = Pictures(f"photographs-{size}", [Item(i.id, i.label, i.load) for i in listed], [])
    return transformed(loaded, lambda image: thumbnail(image, shorter) if shorter else image)


def contenders(
    codec: Codec | None, store: PointStore, workers: Executor, *, threads: int
) -> Iterator[Entrant]:
    """Ours without and with classic payloads, then the rivals that are there."""
    for entry in ours(codec, store, threads=threads) if codec is not None else ():
        if entry.contender.name != CLASSIC:
            yield entry
    for rival in (AVIF, WEBP, JPEG, *((JPEG_XL,) if has_jpeg_xl() else ())):
        yield Entrant(kept(Theirs(rival, workers), rival, store))


def run(arguments: argparse.Namespace) -> None:
    """Measure each size, write the results after each, and draw them."""
    codec = None if arguments.codec is None else Codec.load(arguments.codec)
    store = PointStore(arguments.work)
    if codec is not None and arguments.output is None:
        raise KinpackError("say where the results go: -o FILE.json")
    for size in arguments.sizes:
        count = arguments.images or COUNTS.get(size)
        pictures = photographs(arguments.photographs, size, count=count)
        began = time.perf_counter()
        with ThreadPoolExecutor(arguments.threads) as workers:
            entries = contenders(codec, store, workers, threads=arguments.threads)
            rows = measure_data(pictures, entries, PLAN, seed=arguments.seed)
        if codec is None:
            continue
        rows = [row for row in rows if row["table"] == "payload" or row["codec"] in FILES]
        found = [
            row
            for row in bd_rows(pictures.name, rows, (PLAN.low, PLAN.high))
            if row["table"] == "payload"
        ]
        about: dict[str, Any] = {
            **run_head(seed=arguments.seed),
            "seconds": round(time.perf_counter() - began, 1),
            "images": len(pictures),
            "evenly_spread_over": len(list(open_source(arguments.photographs))),
            "mean_pixels": round(pictures.pixels / len(pictures)),
            "jpeg_xl": jpeg_xl_version(),
            "codec": {"name": codec.name, "codec_id": codec.codec_id, "bytes": codec.n_bytes},
        }
        results = {"rows": [], "curves": {}, "machine": {}, **load_results(arguments.output)}
        kept_rows = [row for row in results["rows"] if row["data"] != pictures.name]
        results["rows"] = kept_rows + found
        results["curves"][pictures.name] = curve_points(rows)
        results["machine"][pictures.name] = about
        save_results(arguments.output, results)
        print_table(found)
    if codec is not None:
        draw(load_results(arguments.output), arguments.output)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Photographs and thumbnails beside other codecs.")
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--codec", help="a .kinc file, or default; without one only rivals")
    parser.add_argument("--work", type=Path, help="folder in which finished points are kept")
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    parser.add_argument("--images", type=int, help="photographs of each size, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of samples for choosing settings")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; .png, .svg")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"photographs: {error}")


if __name__ == "__main__":
    main()
