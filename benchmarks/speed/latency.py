"""How fast a packed archive opens, gives an image and is searched, and what its container costs.

    python -m benchmarks.speed.latency --cifar DIR [--codec FILE|default] [--quality 60] \
        -o benchmarks/results/latency.json
    python -m benchmarks.speed.latency --archive photos.kin -o FILE

Without --archive the CIFAR-10 test split is packed first, into a folder that is removed. Times are
measured in a process of their own that does nothing else: the first call of each verb, which loads
what it needs, apart from the later ones. On a busy machine wall times say little: the load stands
beside them, and the processor time of each call.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from kinpack.errors import KinpackError

GOALS = {
    "open": ("ms", 100.0),
    "get": ("ms", 5.0),
    "search": ("ms", 10.0),
    "container": ("B/image", 12.0),
}
"""What is to be reached on the archive of 10,000 images: unit and upper limit."""

GETS, SEARCHES, OPENS = 500, 200, 30


@dataclass(frozen=True)
class Took:
    """Milliseconds that a call took: of wall time, and of all processors together."""

    wall: float
    processor: float


def timed(call: Callable[..., object], *arguments: object) -> Took:
    """Measure one call."""
    began, began_processor = time.perf_counter(), time.process_time()
    call(*arguments)
    wall, processor = time.perf_counter() - began, time.process_time() - began_processor
    return Took(1000 * wall, 1000 * processor)


def spread(calls: Sequence[Took]) -> dict[str, float]:
    """Number of calls; median, 95th percentile and maximum of wall, median of processor time."""
    walls = [call.wall for call in calls]
    return {
        "calls": len(calls),
        "median_ms": round(float(np.median(walls)), 3),
        "p95_ms": round(float(np.percentile(walls, 95)), 3),
        "max_ms": round(max(walls), 3),
        "processor_ms": round(float(np.median([call.processor for call in calls])), 3),
    }


def measure(path: Path, *, seed: int) -> dict[str, Any]:
    """Measure an archive in this process, which should have done nothing before.

    Args:
        path: the archive.
        seed: of the images that are read and looked for.

    Returns:
        JSON values: for each verb the first call and the spread of the later ones, in
        milliseconds; ``import_ms``; and ``info``, the archive in numbers.
    """
    began = time.perf_counter()
    from kinpack.archive.archive import Archive

    imported = 1000 * (time.perf_counter() - began)
    first_open = timed(lambda: Archive.open(path).close())
    opens = [timed(lambda: Archive.open(path).close()) for _ in range(OPENS)]
    rng = np.random.default_rng(seed)
    with Archive.open(path) as archive:
        opened_with_ids = timed(lambda: archive.ids)
        ids = archive.ids
        chosen = [ids[i] for i in rng.integers(len(ids), size=GETS + 1)]
        gets = [timed(archive.read, name) for name in chosen]
        kinds = [archive.packet(name).kind.name.lower() for name in chosen]
        queries = archive.read_many(chosen[:SEARCHES])
        by_image = [timed(archive.search, query) for query in queries]
        by_id = [timed(archive.search, name) for name in chosen[:SEARCHES]]
        info = archive.info()
    by_kind = {
        kind: spread([t for t, its in zip(gets[1:], kinds[1:], strict=True) if its == kind])
        for kind in sorted(set(kinds[1:]))
    }
    return {
        "import_ms": round(imported, 3),
        "open": {"first_ms": round(first_open.wall, 3), **spread(opens)},
        "first_ids_ms": round(opened_with_ids.wall, 3),
        "get": {"first_ms": round(gets[0].wall, 3), **spread(gets[1:]), "by_kind": by_kind},
        "search": {"first_ms": round(by_image[0].wall, 3), **spread(by_image[1:])},
        "search_by_id": spread(by_id),
        "info": {key: value for key, value in info.items() if key != "metadata"},
    }


def measure_apart(path: Path, *, seed: int) -> dict[str, Any]:
    """Measure an archive in a new process.

    Raises:
        KinpackError: the process failed; its output has been shown.
    """
    command = [
        sys.executable,
        "-m",
        module_of(__file__),
        "--archive",
        str(path),
        "--seed",
        str(seed),
        "--here",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise KinpackError(f"{path}: measuring ended with exit code {done.returncode}")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def busy() -> float | None:
    """Processes that wanted a processor in the last minute, this one's packing among them."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def reached(values: dict[str, Any]) -> dict[str, float]:
    """The figure that each goal is about: the median call; of opening, the first one."""
    return {
        "open": values["open"]["first_ms"],
        "get": values["get"]["median_ms"],
        "search": values["search"]["median_ms"],
        "container": values["info"]["container_bytes_per_image"],
    }


def print_table(values: dict[str, Any]) -> None:
    """Figures beside their goals."""
    info = values["info"]
    table = Table(title=f"an archive of {info['images']:,} images", title_justify="left")
    for column in ("", "figure", "p95", "worst", "processor", "first call", "goal", ""):
        table.add_column(column, justify="right" if column else "left")
    for verb, figure in reached(values).items():
        unit, goal = GOALS[verb]
        times = values.get(verb, {})
        keys = ("p95_ms", "max_ms", "processor_ms", "first_ms")
        cells = [f"{times[key]:.2f}" if key in times else "" for key in keys]
        verdict = "met" if figure <= goal else "missed"
        table.add_row(verb, f"{figure:.2f} {unit}", *cells, f"{goal:g}", verdict)
    Console(highlight=False).print(table)


@contextmanager
def packed(arguments: argparse.Namespace) -> Iterator[Path]:
    """The archive that was named, or one packed for the occasion."""
    if arguments.archive is not None:
        yield arguments.archive
        return
    from kinpack.archive.archive import Archive
    from kinpack.codec.codec import Codec

    pictures = load_pictures("cifar10-test", Folders(cifar=arguments.cifar))
    items = pictures.items[: arguments.images]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cifar10-test.kin"
        with Archive.create(path, Codec.load(arguments.codec)) as archive:
            archive.add(items, quality=arguments.quality, threads=arguments.threads)
        yield path


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Measure opening, getting and searching.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as Parquet files")
    source.add_argument("--archive", type=Path, help="an archive that is there already")
    parser.add_argument("--codec", default="default", help="a .kinc file, default or classic")
    parser.add_argument("--quality", type=int, default=60)
    parser.add_argument("--images", type=int, help="pack so many images only")
    parser.add_argument("--threads", type=int, default=2, help="for packing")
    parser.add_argument("--seed", type=int, default=0, help="of the images that are read")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    arguments = parser.parse_args()
    try:
        if arguments.here:
            json.dump(measure(arguments.archive, seed=arguments.seed), sys.stdout)
            return
        with packed(arguments) as path:
            load = busy()
            values = measure_apart(path, seed=arguments.seed)
    except KinpackError as error:
        sys.exit(f"latency: {error}")
    print_table(values)
    if arguments.output is not None:
        goals = {verb: {"unit": unit, "at_most": goal} for verb, (unit, goal) in GOALS.items()}
        results = {
            "reached": reached(values),
            "goals": goals,
            **values,
            "load": load,
            "machine": run_head(seed=arguments.seed),
        }
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
