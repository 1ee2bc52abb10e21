"""What `kinpack add` of one image takes, by how many images the archive holds already.

    python -m benchmarks.scale.adding_to_many [--images 4 200000] [--rounds 15] \
        -o benchmarks/results/adding_to_many.json

Packs archives of packets made once (`scale_rows`), then adds pictures to each by the command, one
at a time and in turn, every command in a process of its own. What is told is processor time of the
whole command, user and system. It must hardly grow with the archive: a commit writes one small
segment, and what is printed stands in the manifest.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from operator import sub
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from benchmarks.scale.rows import SEED, ReplayingCoder, ReplayingDescriber, Rows, make_packets
from kinpack.archive.archive import Archive

PACKETS = 500


def processor_seconds(command: list[str], folder: Path) -> float:
    """Processor time of a command in a process of its own, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """Add pictures to archives of some sizes.

    Args:
        folder: where they are made.
        sizes: images of each archive, the least first.
        rounds: pictures that are added to each.

    Returns:
        JSON values by size: seconds of the commands, and what each takes beyond the one that added
        the same picture to the archive of the first size.
    """
    made = make_packets(folder / "packets.npz", count=PACKETS, cifar=None)
    coder = ReplayingCoder(Rows(folder / "packets.npz"))
    for size in sizes:
        rows = Rows(folder / "packets.npz")
        describer = ReplayingDescriber(rows)
        with Archive.create(
            folder / f"{size}.kin", coder, describer=describer, metadata={"quality": 60}
        ) as archive:
            archive.add(rows.items(0, size), quality=60, threads=1)
    rng = np.random.default_rng(SEED)
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(rounds + 1):  # the first brings the files into memory, and does not count
        picture = f"new-{turn}.png"
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / picture)
        for size in sizes:
            command = [sys.executable, "-m", "kinpack", "add", f"{size}.kin", picture, "--quiet"]
            took = processor_seconds([*command, "--threads", "1"], folder)
            seconds[size] += [took] if turn else []
    return [
        {
            "images": size,
            "median_s": statistics.median(took),
            "least_s": min(took),
            "beyond_first_s": statistics.median(map(sub, took, seconds[sizes[0]])),
            "codec": made["codec"],
            "rounds": rounds,
        }
        for size, took in seconds.items()
    ]


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, nargs="+", default=[4, 200_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), sorted(options.images), options.rounds)
    for row in rows:
        print(
            f"{row['images']:>9,} images: {row['median_s']:.3f} s of the processor, "
            f"{row['beyond_first_s']:+.3f} s beyond the first"
        )
    if options.output:
        save_results(options.output, {"run": run_head(seed=SEED), "adding": rows})


if __name__ == "__main__":
    main()
