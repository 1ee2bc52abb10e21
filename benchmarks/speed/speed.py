"""How fast kinpack codes and decodes images of 32×32 beside other codecs, and what memory it takes.

    python -m benchmarks.speed.speed --cifar DIR --codec default -o benchmarks/results/speed.json

One and two threads, medians of three repetitions that go round, all on the toy database at about
the same PSNR; each number of threads in a process that is kept to as many cores. JPEG XL takes part
where the package ``pillow-jxl-plugin`` is installed. On a busy machine wall times say little: the
load stands beside them, and ratios are of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from benchmarks.measuring.result_file import save_results
from benchmarks.rates.rivals import jpeg_xl_version
from benchmarks.speed.coding_speed import (
    ANCHOR,
    REPETITIONS,
    coders,
    cores_at_hand,
    keep_to,
    load_codec,
    measure,
)
from benchmarks.speed.peak_memory import COUNTS, SIDES, of_one_image, of_packing
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic
from kinpack.errors import KinpackError

THREADS = (1, 2)
CLASSIC_RULES: tuple[Classic, ...] = ("never", "auto")
MEMORY_THREADS = 2
LIMITS = {
    "decode_images_per_s": {"classic": "never", "threads": 2, "must": 500, "goal": 3000},
    "encode_over_avif": {"classic": "never", "threads": 1, "must": 5, "goal": 20},
}
"""What speeds are to reach, at least."""


def speeds_here(arguments: argparse.Namespace, threads: int) -> list[dict[str, Any]]:
    """Time all codecs in this process."""
    pictures = load_pictures("cifar10-toy", Folders(cifar=arguments.cifar))
    pictures = pictures.sample(arguments.images, seed=arguments.seed)
    cores = cores_at_hand()[:threads]
    keep_to(cores)
    codec = load_codec(arguments.codec, threads)
    with ThreadPoolExecutor(threads) as workers:
        listed = coders(codec, workers, threads=threads)
        rows = measure(listed, pictures, psnr=arguments.psnr, threads=threads, seed=arguments.seed)
    return [{**row, "cores": len(cores)} for row in rows]


def memory_here(
    arguments: argparse.Namespace, what: str, size: int, classic: str
) -> dict[str, Any]:
    """Measure one case of memory in this process.

    Raises:
        KinpackError: the rule for classic payloads is not known.
    """
    found = next((one for one in get_args(Classic) if one == classic), None)
    if found is None:
        raise KinpackError(f"classic {classic!r} is not known")
    codec = load_codec(arguments.codec, MEMORY_THREADS)
    case = of_packing if what == "packing" else of_one_image
    return case(codec, arguments.cifar, size, classic=found, threads=MEMORY_THREADS)


def apart(arguments: argparse.Namespace, threads: int, *words: object) -> Any:
    """Run one part in a new process whose libraries use so many threads.

    Raises:
        KinpackError: the process failed; its output has been shown.
    """
    options = {
        "--cifar": arguments.cifar,
        "--codec": arguments.codec,
        "--images": arguments.images,
        "--psnr": arguments.psnr,
        "--seed": arguments.seed,
    }
    listed = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", module_of(__file__), *listed, "--here", *map(str, words)]
    count = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **count}
    )
    if done.returncode:
        raise KinpackError(f"measuring {words} ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write."""
    codec = Codec.load(arguments.codec)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows: list[dict[str, Any]] = []
    for threads in THREADS:
        rows += apart(arguments, threads, "speed", threads)
    print_speeds(rows)
    memory: list[dict[str, Any]] = []
    results = {
        "rows": rows,
        "anchor": ANCHOR,
        "repetitions": REPETITIONS,
        "limits": limits_reached(rows),
        "jpeg_xl": jpeg_xl_version() or "not installed: pillow-jxl-plugin",
        "memory": memory,
        "images": arguments.images,
        "psnr_wanted": arguments.psnr,
        "load_before": load,
        "codec": {"name": codec.name, "codec_id": codec.codec_id, "bytes": codec.n_bytes},
        "machine": run_head(seed=arguments.seed),
    }
    for one in limits_reached(rows):
        print("{figure}: {measured:,} (must {must:,}, goal {goal:,})".format(**one))
    cases: list[tuple[str, int, Classic]] = [
        (what, size, classic)
        for classic in CLASSIC_RULES
        for what, sizes in (("packing", COUNTS), ("image", SIDES))
        for size in sizes
    ]
    cases += [("image", side, "always") for side in SIDES]  # what AVIF's own encoder takes
    for case in [None, *([] if arguments.no_memory else cases)]:
        if case is not None:
            memory.append(apart(arguments, MEMORY_THREADS, *case))
            print(memory_line(memory[-1]), flush=True)
        if arguments.output is not None:  # after every case: the last ones take minutes
            save_results(arguments.output, results)


def limits_reached(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each limit beside the figure that counts for it."""
    found = []
    for key, limit in LIMITS.items():
        row = next(
            row
            for row in rows
            if (row["codec"], row["classic"], row["threads"])
            == ("kinpack", limit["classic"], limit["threads"])
        )
        figure, must, goal = row[key], limit["must"], limit["goal"]
        reached = "goal" if figure >= goal else "must" if figure >= must else "no"
        found.append({"figure": key, **limit, "measured": figure, "reached": reached})
    return found


def print_speeds(rows: list[dict[str, Any]]) -> None:
    """Images a second, and how many times AVIF's."""
    table = Table(title="images a second", title_justify="left")
    for column in ("codec", "classic"):
        table.add_column(column)
    for column in ("threads", "dB", "bpp", "encode", "× AVIF", "decode", "× AVIF"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["codec"],
            row["classic"] or "",
            str(row["threads"]),
            f"{row['psnr_mean']:.2f}",
            f"{row['bits_per_pixel']:.2f}",
            *(
                form.format(row[f"{verb}_{key}"])
                for verb in ("encode", "decode")
                for key, form in (("images_per_s", "{:,.0f}"), ("over_avif", "{:.2f}"))
            ),
        )
    Console(highlight=False, width=100).print(table)


def memory_line(row: dict[str, Any]) -> str:
    """One line for one case of memory."""
    what = f"{row['images']:,} images" if row["what"] == "packing" else f"one of {row['side']}²"
    return (
        f"{what:14} classic {row['classic']:5} peak {row['peak_mib']:7.1f} MiB, "
        f"{row['peak_mib'] - row['before_mib']:7.1f} more than before"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Speed and memory beside other codecs.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--codec", default="default", help="a .kinc file, or default")
    parser.add_argument("--images", type=int, default=2000, help="of the toy database")
    parser.add_argument("--psnr", type=float, default=31.0, help="at which all are timed, dB")
    parser.add_argument("--seed", type=int, default=0, help="of samples")
    parser.add_argument("--no-memory", action="store_true", help="leave memory out")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--here", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.here:
            what, size, *rest = arguments.here
            made = (
                speeds_here(arguments, int(size))
                if what == "speed"
                else memory_here(arguments, what, int(size), *rest)
            )
            json.dump(made, sys.stdout)
            return
        run(arguments)
    except KinpackError as error:
        sys.exit(f"speed: {error}")


if __name__ == "__main__":
    main()
