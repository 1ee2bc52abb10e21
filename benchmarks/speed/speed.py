"""How fast kinpack codes and decodes images beside other codecs, and what memory it takes.

    python -m benchmarks.speed.speed --cifar DIR --photographs DIR … --fonts DIR --codec default \
        -o benchmarks/results/speed.json

Images of 32×32 of the toy database with one and two threads, larger ones (`CASES`) with one:
medians of three repetitions that go round, all codecs at about the same PSNR, each case in a
process that is kept to as many cores as it has threads. JPEG XL takes part where the package
``pillow-jxl-plugin`` is installed. On a busy machine times of the clock say little: the load stands
beside them, times of the processor say more, and ratios are of one run. Cases that a run leaves out
stay as they were.
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

from benchmarks.measuring.data import Folders, Pictures, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.rates.kept_pictures import Sources, kept_pictures
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

TOY = "cifar10-toy"
CASES = (
    (TOY, 32, 1),
    (TOY, 32, 2),
    ("photographs", 64, 1),
    ("photographs", 128, 1),
    ("photographs", 256, 1),
    ("photographs", 512, 1),
    ("pages", 512, 1),
)
"""Kind of images, shorter side in pixels, and threads."""
COUNTED = {64: 24, 128: 12, 256: 6, 512: 2}
"""Images of each size that are timed, or as many as --images says where those are fewer."""
CLASSIC_RULES: tuple[Classic, ...] = ("never", "auto")
MEMORY_THREADS = 2
LIMITS = {
    "decode_images_per_s": {"classic": "never", "threads": 2, "must": 500, "goal": 3000},
    "encode_over_avif": {"classic": "never", "threads": 1, "must": 5, "goal": 20},
}
"""What speeds are to reach, at least."""


def images_of(arguments: argparse.Namespace, kind: str, side: int) -> Pictures:
    """The images of a case."""
    if kind == TOY:
        toy = load_pictures(TOY, Folders(cifar=arguments.cifar))
        return toy.sample(arguments.images, seed=arguments.seed)
    sources = Sources(photographs=arguments.photographs, fonts=arguments.fonts, seed=arguments.seed)
    return kept_pictures(kind, side, sources, count=min(COUNTED[side], arguments.images))


def speeds_here(
    arguments: argparse.Namespace, kind: str, side: int, threads: int
) -> list[dict[str, Any]]:
    """Time all codecs in this process on the images of a case."""
    pictures = images_of(arguments, kind, side)
    cores = cores_at_hand()[:threads]
    keep_to(cores)
    codec = load_codec(arguments.codec, threads)
    with ThreadPoolExecutor(threads) as workers:
        listed = coders(codec, workers, threads=threads)
        rows = measure(listed, pictures, psnr=arguments.psnr, threads=threads, seed=arguments.seed)
    about = {"data": kind, "side": side, "images": len(pictures), "cores": len(cores)}
    return [{**about, **row} for row in rows]


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
        "--fonts": arguments.fonts,
    }
    listed = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    listed += [str(word) for word in ("--photographs", *arguments.photographs)]
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
    before = {} if arguments.output is None else load_results(arguments.output)
    asked = [case for case in CASES if case[1] in arguments.sides]
    rows = [row for row in before.get("rows", []) if "side" in row and case_of(row) not in asked]
    for kind, side, threads in asked:
        rows += apart(arguments, threads, "speed", kind, side, threads)
        print_speeds(rows[-1:])
    rows.sort(key=lambda row: CASES.index(case_of(row)))
    print_speeds(rows)
    memory: list[dict[str, Any]] = before.get("memory", []) if arguments.no_memory else []
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
    for case in (None, *([] if arguments.no_memory else cases)):
        if case is not None:
            memory.append(apart(arguments, MEMORY_THREADS, *case))
            print(memory_line(memory[-1]), flush=True)
        if arguments.output is not None:  # after every case: the last ones take minutes
            save_results(arguments.output, results)


def case_of(row: dict[str, Any]) -> tuple[str, int, int]:
    """The case that a row is of."""
    return row["data"], row["side"], row["threads"]


def limits_reached(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each limit beside the figure that counts for it, where that was measured."""
    found = []
    for key, limit in LIMITS.items():
        counts = [
            row
            for row in rows
            if (row["codec"], row["classic"], *case_of(row))
            == ("kinpack", limit["classic"], TOY, 32, limit["threads"])
        ]
        if not counts:
            continue
        figure, must, goal = counts[0][key], limit["must"], limit["goal"]
        reached = "goal" if figure >= goal else "must" if figure >= must else "no"
        found.append({"figure": key, **limit, "measured": figure, "reached": reached})
    return found


def print_speeds(rows: list[dict[str, Any]]) -> None:
    """Milliseconds of the processor an image, and how many times AVIF's."""
    table = Table(title="ms of the processor an image", title_justify="left")
    for column in ("codec", "classic", "images"):
        table.add_column(column)
    for column in ("pixels", "threads", "dB", "encode", "× AVIF's", "decode", "× AVIF's"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["codec"],
            row["classic"] or "",
            row["data"],
            str(row["side"]),
            str(row["threads"]),
            f"{row['psnr_mean']:.2f}",
            *(
                form.format(row[f"{verb}_{key}"])
                for verb in ("encode", "decode")
                for key, form in (("ms", "{:,.2f}"), ("ms_over_avif", "{:.2f}"))
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
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--fonts", type=Path, metavar="DIR", help="for pages")
    parser.add_argument("--codec", default="default", help="a .kinc file, or default")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--images", type=int, default=2000, help="of each size at most")
    parser.add_argument("--psnr", type=float, default=31.0, help="at which all are timed, dB")
    parser.add_argument("--seed", type=int, default=0, help="of samples")
    parser.add_argument("--no-memory", action="store_true", help="leave memory out")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--here", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.here:
            what, *rest = arguments.here
            made = (
                speeds_here(arguments, rest[0], *map(int, rest[1:]))
                if what == "speed"
                else memory_here(arguments, what, int(rest[0]), *rest[1:])
            )
            json.dump(made, sys.stdout)
            return
        run(arguments)
    except KinpackError as error:
        sys.exit(f"speed: {error}")


if __name__ == "__main__":
    main()
